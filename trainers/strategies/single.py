"""`single`: one worker, the one every speedup is measured from."""

from torch import Tensor, nn

from carbon.errors import UsageError
from carbon.topology import Topology
from trainers.strategies.base import Strategy


class Single(Strategy):
    """The whole of every batch in one process."""

    name = "single"

    def __init__(self, place: Topology) -> None:
        if place.world_size > 1:
            raise UsageError(
                f"strategy 'single' is for one worker, but {place.launcher} started "
                f"{place.world_size}; use --strategy ddp, or start it without a launcher"
            )
        super().__init__(place)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return `model` itself."""
        return model

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def add_up(self, values: Tensor) -> Tensor:
        """Return `values` themselves."""
        return values
