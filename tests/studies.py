"""Whole studies for reports: the published Virgo tables, repeats on two workers, a search."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from carbon.analysis.tradeoff import scaling, tradeoff
from carbon.schema import DeviceReport, EpochReport, NodeReport, RunReport, StepProfile, Tradeoff
from tests.factories import make_report
from tests.published import FIGURES, SERIES

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WARM_UP = 1.5
"""Times as long as the others the first epoch takes."""


def tradeoff_of(project: str, runs: Iterable[RunReport]) -> Tradeoff:
    """Compare the configurations of every study among a project's runs, which come in any order."""
    studies: dict[str, list[RunReport]] = defaultdict(list)
    for report in runs:
        if report.study is not None:
            studies[report.study].append(report)
    return tradeoff(project, (scaling(project, name, studies[name]) for name in sorted(studies)))


def training(
    strategy: str,
    workers: int,
    epoch_s: float,
    epoch_kwh: float | None,
    *,
    at: int = 0,
    epochs: int = 4,
    config: Mapping[str, Any] | None = None,
    node: Mapping[str, Any] | None = None,
    **fields: Any,
) -> RunReport:
    """A completed run, the `at`-th of its study: its accuracy halves its distance to 1."""
    courses = [
        EpochReport(
            index=i,
            duration_s=epoch_s * (WARM_UP if i == 0 else 1),
            energy_kwh=epoch_kwh and epoch_kwh * (WARM_UP if i == 0 else 1),
            metrics={"accuracy": 1 - 0.5 ** (i + 1), "loss": 0.5**i},
        )
        for i in range(epochs)
    ]
    duration_s = sum(epoch.duration_s for epoch in courses)
    started_at = START + timedelta(minutes=30 * at)
    defaults: dict[str, Any] = {
        "project": "studies",
        "study": "scaling",
        "metrics": courses[-1].metrics,
        "config": {"task": "virgo", "global_batch_size": 256, "samples_per_epoch": 1000}
        | dict(config or {}),
        "cpu_energy_kwh": epoch_kwh and epoch_kwh * (epochs - 1 + WARM_UP),
        "ram_energy_kwh": None,
        "started_at": started_at,
        "ended_at": started_at + timedelta(seconds=duration_s),
        "duration_s": duration_s,
        "nodes": [NodeReport(hostname="n", ranks=list(range(workers)), **(node or {}))],
    }
    return make_report(strategy=strategy, world_size=workers, epochs=courses, **(defaults | fields))


def virgo() -> list[RunReport]:
    """Three strategies on four counts of GPUs: epoch times, utilisation, energy as published.

    Where no energy was published, of 32 GPUs, none is known.
    """
    digitised = FIGURES["virgo_old_png_digitised"]
    runs: list[RunReport] = []
    for name, strategy in (
        ("torch-ddp", "ddp"),
        ("deepspeed", "deepspeed"),
        ("horovod", "horovod"),
    ):
        compute = FIGURES["itwinai_docs_virgo_comp_pct"][name]
        for workers, epoch_s in SERIES[f"virgo {name}"].items():
            energy_wh = digitised["energy_wh"][name].get(str(workers))
            utilization = digitised["util_pct"][name].get(str(workers))
            share = compute[str(workers)] / 100
            node = {
                "devices": [
                    DeviceReport(uuid="a", index=0, mean_utilization_percent=utilization),
                ],
                "profiles": [
                    StepProfile(
                        rank=0,
                        steps=1,
                        duration_s=1.0,
                        compute_s=share,
                        exposed_communication_s=1 - share,
                        overlapped_communication_s=0.0,
                        idle_s=0.0,
                    )
                ],
            }
            epoch_kwh = energy_wh and energy_wh / 10_000
            run = training(strategy, workers, epoch_s, epoch_kwh, at=len(runs), node=node)
            runs.append(run)
    return runs


def repeated() -> Iterator[RunReport]:
    """Three repeats of three strategies on one and two workers of one host, and one failed run."""
    means = {"cpu_frequency": 3000.0, "network_sent": 4.0, "network_received": 3.0}
    for repeat in range(3):
        for i, strategy in enumerate(("ddp", "fsdp", "deepspeed")):
            for workers in (1, 2):
                factor = (1 + 0.1 * i) * (1 + 0.02 * repeat)
                yield training(
                    strategy,
                    workers,
                    3.0 * factor / workers**0.8,
                    2e-5 * factor * workers**0.1,
                    at=repeat * 6 + i * 2 + workers,
                    node={"series_means": means | {"cpu_utilization": 30.0 + repeat}},
                )
    yield training("ddp", 2, 1.0, 1e-5, at=20, status="failed")


def many() -> Iterator[RunReport]:
    """Eight strategies on six counts of workers, once each."""
    names = ("single", "ddp", "fsdp", "deepspeed", "horovod", "ray-ddp", "ray-deepspeed", "other")
    for i, strategy in enumerate(names):
        for k in range(6):
            workers = 2**k
            epoch_s = 60 * (1 + 0.05 * i) * (0.02 * (i + 1) + 1 / workers)
            yield training(
                strategy, workers, epoch_s, 0.001 * (1 + 0.02 * i + 0.01 * k), at=6 * i + k
            )


def search() -> Iterator[RunReport]:
    """A baseline, four trials of which one was stopped and one failed, and the final training."""
    for at, (name, epochs, rate, status) in enumerate(
        (
            ("baseline", 3, 0.1, "completed"),
            ("0", 4, 0.01, "completed"),
            ("1", 1, 1.0, "failed"),
            ("2", 5, 0.02, "completed"),
            ("3", 2, 0.5, "failed"),
            ("final", 5, 0.02, "completed"),
        )
    ):
        yield training(
            "single",
            1,
            2.0,
            2e-5,
            at=at,
            epochs=epochs,
            study="search",
            status=status,
            tags={"trial": name} | ({"stopped": "asha"} if name == "1" else {}),
            config={
                "learning_rate": rate,
                "search_metric": "accuracy",
                "search_mode": "max",
                "search_parameters": "learning_rate",
            },
        )
