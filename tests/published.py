"""The figures of `data/published_scaling.json`, as series of epoch or wall times by workers."""

import json
from pathlib import Path
from typing import Any

FIGURES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "published_scaling.json").read_text(encoding="utf-8")
)


def _by_workers(times: dict[str, float]) -> dict[int, float]:
    return {int(workers): seconds for workers, seconds in times.items()}


SERIES: dict[str, dict[int, float]] = {
    **{f"virgo {k}": _by_workers(v) for k, v in FIGURES["itwinai_docs_virgo_epoch_s"].items()},
    **{f"mnist {k}": _by_workers(v) for k, v in FIGURES["itwinai_docs_mnist_epoch_s"].items()},
    **{f"emulator {k}": _by_workers(v) for k, v in FIGURES["emulator_wall_s"].items()},
    **{
        f"jetson {k}": dict(enumerate(v, start=1))
        for k, v in FIGURES["jetson_png_digitised_s"].items()
    },
    "lumi": _by_workers(FIGURES["lumi_runtime_s_by_gpus_10_epochs"]),
}
"""Seconds by GPUs, cards, cores or nodes, from the fewest on."""
