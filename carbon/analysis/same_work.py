"""Epochs of different sizes, as of weak scaling, brought to the same number of samples."""

from collections.abc import Sequence

from carbon.schema import TradeoffPoint


def epoch_factors(points: Sequence[TradeoffPoint]) -> list[float]:
    """Return by what to multiply what an epoch of each configuration takes, for epochs of one size.

    Where all say their samples per epoch and these differ, that size is the smallest one's; else
    every epoch is taken to be of one size.

    Args:
        points: of one study.
    """
    sizes = [point.samples_per_epoch for point in points]
    known = [size for size in sizes if size]
    if len(known) < len(sizes):
        return [1.0] * len(sizes)
    return [min(known) / size for size in known]
