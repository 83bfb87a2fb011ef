"""Speedups and efficiencies of published studies, as they follow from their tables by hand."""

import pytest

from carbon.analysis.scaling_laws import Timing, timings_of
from carbon.schema import EpochReport
from tests.factories import make_report
from tests.published import SERIES
from tests.studies import tradeoff_of

SPEEDUPS = {
    "lumi": {1: 1.0, 2: 1.952, 4: 3.792, 8: 7.502, 16: 13.786, 24: 18.105, 32: 24.242},
    "emulator usc_one_node_cores": {1: 1.0, 2: 1.910, 4: 3.494, 8: 5.091, 16: 7.145},
    "emulator gcp_nodes": {1: 1.0, 2: 2.033, 4: 3.854, 8: 6.974, 16: 12.159},
    "emulator usc_nodes": {1: 1.0, 2: 1.852, 4: 3.706, 8: 6.300},
    "virgo deepspeed": {4: 1.0, 8: 1.845, 16: 3.328, 32: 5.630},
    "mnist horovod": {4: 1.0, 8: 1.392, 16: 1.677, 32: 1.833},
    "jetson pytorch_15ep": {1: 1.0, 2: 1.779, 4: 3.237, 8: 6.038},
}
"""Over the fewest workers of the same series, to three decimals."""

LARGEST_EFFICIENCY = {
    "lumi": 0.758,
    "emulator usc_one_node_cores": 0.447,
    "emulator gcp_nodes": 0.760,
    "emulator usc_nodes": 0.788,
    "virgo deepspeed": 0.704,
    "mnist horovod": 0.229,
    "jetson pytorch_15ep": 0.755,
}


@pytest.mark.parametrize("name", SPEEDUPS)
def test_a_published_series_has_its_speedups_and_efficiencies(name: str) -> None:
    runs = [
        make_report(
            study="s",
            strategy="other",
            world_size=workers,
            epochs=[EpochReport(index=0, duration_s=epoch_s)],
        )
        for workers, epoch_s in SERIES[name].items()
    ]
    points = {point.workers: point for point in tradeoff_of("p", runs).points}
    fewest, most = min(SERIES[name]), max(SERIES[name])
    assert timings_of([points[fewest]]) == [Timing(fewest, SERIES[name][fewest])]
    for workers, speedup in SPEEDUPS[name].items():
        assert points[workers].speedup == pytest.approx(speedup, abs=6e-4)
        assert points[workers].ideal_speedup == workers / fewest
        assert points[workers].baseline_workers == fewest
    assert points[most].efficiency == pytest.approx(LARGEST_EFFICIENCY[name], abs=6e-4)
