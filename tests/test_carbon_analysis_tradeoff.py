"""Speedups, efficiencies and energies of a study, against published figures and by properties."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon import units
from carbon.schema import (
    DeviceReport,
    EpochReport,
    NodeReport,
    RunReport,
    StepProfile,
    Tradeoff,
    TradeoffPoint,
)
from tests.factories import make_report
from tests.studies import tradeoff_of

VIRGO_EPOCH_S = {
    "deepspeed": {4: 51.18, 8: 27.74, 16: 15.38, 32: 9.09},
    "horovod": {4: 57.23, 8: 31.46, 16: 17.86, 32: 11.19},
    "ddp": {4: 57.83, 8: 31.92, 16: 18.42, 32: 11.07},
}
"""Mean epoch times by number of GPUs: itwinai documentation, Virgo use case."""

VIRGO_SPEEDUP = {
    "deepspeed": {4: 1.0, 8: 1.845, 16: 3.328, 32: 5.630},
    "horovod": {4: 0.894, 8: 1.627, 16: 2.866, 32: 4.574},
    "ddp": {4: 0.885, 8: 1.603, 16: 2.779, 32: 4.623},
}
"""Against DeepSpeed on 4 GPUs, by hand, to three decimals."""


def run(
    epoch_s: float | list[float] = 10.0,
    epoch_kwh: float | list[float | None] | None = None,
    *,
    strategy: str = "ddp",
    workers: int = 1,
    study: str | None = "scaling",
    attempts: list[int] | None = None,
    indices: list[int] | None = None,
    **fields: Any,
) -> RunReport:
    """A run of as many epochs as times are given, or of a slow first one and two equal ones."""
    times = [3 * epoch_s, epoch_s, epoch_s] if isinstance(epoch_s, float) else epoch_s
    energies = epoch_kwh if isinstance(epoch_kwh, list) else [epoch_kwh] * len(times)
    epochs = [
        EpochReport(
            index=indices[i] if indices else i,
            attempt=attempts[i] if attempts else 0,
            duration_s=duration_s,
            energy_kwh=energies[i],
        )
        for i, duration_s in enumerate(times)
    ]
    return make_report(study=study, strategy=strategy, world_size=workers, epochs=epochs, **fields)


def by_configuration(result: Tradeoff) -> dict[tuple[str, int], TradeoffPoint]:
    return {(point.strategy, point.workers): point for point in result.points}


def only(*runs: RunReport) -> TradeoffPoint:
    (point,) = tradeoff_of("p", runs).points
    return point


def test_a_published_scaling_study_comes_out_as_published() -> None:
    runs = [
        run(epoch_s, strategy=strategy, workers=workers)
        for strategy, times in VIRGO_EPOCH_S.items()
        for workers, epoch_s in times.items()
    ]
    points = by_configuration(tradeoff_of("virgo", runs))
    assert len(points) == 12
    for (strategy, workers), point in points.items():
        assert point.epoch_s == pytest.approx(VIRGO_EPOCH_S[strategy][workers])
        assert point.speedup == pytest.approx(VIRGO_SPEEDUP[strategy][workers], abs=6e-4)
        assert (point.baseline_strategy, point.baseline_workers) == ("deepspeed", 4)
        assert point.ideal_speedup == workers / 4
        assert point.efficiency == pytest.approx(point.speedup * 4 / workers)
    assert points["deepspeed", 32].efficiency == pytest.approx(0.704, abs=6e-4)
    assert points["ddp", 32].efficiency == pytest.approx(0.578, abs=6e-4)


def test_no_runs_no_points() -> None:
    assert tradeoff_of("p", []) == Tradeoff(project="p", points=[], differences={})


@pytest.mark.parametrize(
    "left_out",
    [
        run(status="failed"),
        run(status="running", ended_at=None),
        run(status="interrupted"),
        run(study=None),
        make_report(study="scaling", strategy=None),
        run([0.0, 0.0]),
    ],
    ids=["failed", "running", "interrupted", "no study", "no strategy", "no time"],
)
def test_runs_that_say_nothing_of_a_configuration_are_left_out(left_out: RunReport) -> None:
    assert tradeoff_of("p", [left_out]).points == []
    assert only(left_out, run(7.0)).runs == 1


def test_runs_without_epochs_are_compared_as_wholes() -> None:
    """A command that is measured from outside knows no epochs, and its study compares all the same.

    As the emulator benchmark does: wall time against the number of workers.
    """

    def whole(workers: int, duration_s: float) -> RunReport:
        return make_report(
            study="scaling",
            strategy="other",
            world_size=workers,
            epochs=[],
            duration_s=duration_s,
        )

    one, two = tradeoff_of("p", [whole(1, 80.0), whole(2, 50.0)]).points
    assert (one.epoch_s, two.epoch_s, two.speedup, two.efficiency) == (80.0, 50.0, 1.6, 0.8)
    assert (one.unit, two.unit) == ("run", "run")
    assert two.energy_per_epoch_kwh == whole(2, 50.0).energy_kwh
    known = only(whole(1, 80.0), run(7.0))
    assert (known.epoch_s, known.unit) == (7.0, "epoch"), "a whole run is no epoch of another's"


@pytest.mark.parametrize(
    ("times", "attempts", "indices", "epoch_s", "epochs"),
    [
        ([30.0, 10.0, 12.0], [0, 0, 0], [0, 1, 2], 11.0, 2),
        ([30.0], [0], [0], 30.0, 1),
        ([30.0, 10.0], [0, 0], [0, 1], 10.0, 1),
        # Resumed at 2: each attempt warms up once.
        ([30.0, 10.0, 40.0, 12.0], [0, 0, 1, 1], [0, 1, 2, 3], 11.0, 2),
        # Epoch 1 was done twice: the second time counts, and it is that attempt's warm-up.
        ([30.0, 10.0, 40.0, 12.0], [0, 0, 1, 1], [0, 1, 1, 2], 12.0, 1),
        # From the start again: nothing of the first attempt counts.
        ([30.0, 10.0, 40.0, 14.0], [0, 0, 1, 1], [0, 1, 0, 1], 14.0, 1),
        # Two attempts of one epoch each: warm-ups are all there is.
        ([30.0, 40.0], [0, 1], [0, 1], 35.0, 2),
        # Epochs without time are none, nor are they a warm-up.
        ([0.0, 30.0, 10.0, 0.0], [0, 0, 0, 0], [0, 1, 2, 3], 10.0, 1),
    ],
)
@given(shuffler=st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_which_epochs_count(
    times: list[float],
    attempts: list[int],
    indices: list[int],
    epoch_s: float,
    epochs: int,
    shuffler: random.Random,
) -> None:
    order = shuffler.sample(range(len(times)), len(times))
    point = only(
        run(
            [times[i] for i in order],
            attempts=[attempts[i] for i in order],
            indices=[indices[i] for i in order],
        )
    )
    assert point.epoch_s == pytest.approx(epoch_s)
    assert point.epochs == epochs


def test_repeats_are_averaged_with_their_spread_and_count() -> None:
    point = only(
        run(10.0, 0.2, duration_s=100, cpu_energy_kwh=0.5, ram_energy_kwh=None),
        run(12.0, 0.4, duration_s=140, cpu_energy_kwh=1.0, ram_energy_kwh=None),
    )
    assert (point.runs, point.runs_with_energy, point.epochs) == (2, 2, 4)
    assert point.epoch_s == pytest.approx(11)
    assert point.epoch_s_stdev == pytest.approx(2**0.5)
    assert point.energy_per_epoch_kwh == pytest.approx(0.3)
    assert point.energy_per_epoch_kwh_stdev == pytest.approx(0.02**0.5)
    assert point.duration_s == pytest.approx(120)
    assert point.energy_kwh == pytest.approx(0.75)


def test_a_run_of_many_epochs_weighs_no_more_than_one_of_few() -> None:
    assert only(run([1.0] + [10.0] * 99), run([1.0, 20.0])).epoch_s == pytest.approx(15)


def test_a_single_run_has_no_spread() -> None:
    point = only(run(10.0, 0.2))
    assert point.epoch_s_stdev is None
    assert point.energy_per_epoch_kwh_stdev is None


def test_the_baseline_is_the_fastest_at_the_fewest_workers() -> None:
    runs = [
        run(10.0, 0.1, strategy="fsdp", workers=2),
        run(8.0, 0.2, strategy="ddp", workers=2),
        run(4.0, 0.3, strategy="ddp", workers=4),
    ]
    points = by_configuration(tradeoff_of("p", runs))
    assert {(p.baseline_strategy, p.baseline_workers) for p in points.values()} == {("ddp", 2)}
    assert points["ddp", 4].speedup == pytest.approx(2)
    assert points["ddp", 4].ideal_speedup == 2
    assert points["ddp", 4].energy_ratio == pytest.approx(1.5)
    assert points["fsdp", 2].speedup == pytest.approx(0.8)
    assert points["fsdp", 2].energy_ratio == pytest.approx(0.5)


def test_studies_do_not_mix() -> None:
    runs = [run(10.0, 0.1, study="a"), run(1.0, 0.01, study="b", workers=8, config={"x": 1})]
    result = tradeoff_of("p", runs)
    assert [(p.study, p.speedup, p.on_pareto_front) for p in result.points] == [
        ("a", 1.0, True),
        ("b", 1.0, True),
    ]
    assert result.differences == {}


def test_the_front_is_of_epoch_time_and_energy_where_energy_is_known() -> None:
    runs = [
        run(10.0, 1.0, workers=1),
        run(6.0, 1.2, workers=2),
        run(6.5, 1.3, workers=3),
        run(1.0, None, workers=8),
    ]
    points = by_configuration(tradeoff_of("p", runs))
    front = {workers: point.on_pareto_front for (_, workers), point in points.items()}
    assert front == {1: True, 2: True, 3: False, 8: False}


def test_unknown_energy_stays_unknown_and_is_counted() -> None:
    unknown = only(run(10.0, None))
    assert (unknown.energy_per_epoch_kwh, unknown.energy_ratio) == (None, None)
    assert (unknown.emissions_per_epoch_kg, unknown.runs_with_energy) == (None, 0)
    mixed = only(run(10.0, None), run(10.0, [9.0, 0.2, None]), run(10.0, 0.4))
    assert mixed.energy_per_epoch_kwh == pytest.approx(0.3)
    assert (mixed.runs, mixed.runs_with_energy) == (3, 2)


def test_a_baseline_of_no_energy_gives_no_ratio() -> None:
    points = by_configuration(tradeoff_of("p", [run(10.0, 0.0), run(5.0, 0.1, workers=2)]))
    assert {point.energy_ratio for point in points.values()} == {None}


def test_emissions_of_an_epoch_are_energy_times_pue_times_intensity() -> None:
    point = only(
        run(10.0, 0.2, pue=1.5, intensity_g_per_kwh=400),
        run(10.0, 0.4, pue=1.0, intensity_g_per_kwh=50),
        run(10.0, 0.4, intensity_g_per_kwh=None),
        run(10.0, None, intensity_g_per_kwh=50),
    )
    expected = (units.emissions_kg(0.2, 1.5, 400) + units.emissions_kg(0.4, 1.0, 50)) / 2
    assert point.emissions_per_epoch_kg == pytest.approx(expected)
    assert point.emissions_per_epoch_kg == pytest.approx((0.12 + 0.02) / 2)


def test_metrics_are_means_over_the_runs_that_have_them() -> None:
    huge = 1.7e308
    point = only(
        run(metrics={"accuracy": 0.9, "loss": None, "huge": huge}),
        run(metrics={"accuracy": 0.8, "loss": None, "huge": huge}),
        run(metrics={"f1": 0.5}),
    )
    assert point.metrics == {
        "accuracy": pytest.approx(0.85),
        "f1": 0.5,
        "huge": pytest.approx(huge),
    }


def test_config_that_differs_is_named_but_not_what_scaling_varies() -> None:
    runs = [
        run(config={"epochs": 10, "lr": 0.1, "workers": 1, "world_size": 1, "strategy": "ddp"}),
        run(
            config={"epochs": 6, "lr": 0.1, "workers": 2, "world_size": 2, "strategy": "fsdp"},
            workers=2,
        ),
        run(config={"epochs": 6, "lr": 0.1, "dropout": None}),
        run(config={"ignored": True}, status="failed"),
        run(config={"lr": 0.1}, study="other"),
    ]
    assert tradeoff_of("p", runs).differences == {"scaling": ["config dropout", "config epochs"]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tags": {"model": "cnn"}}, ["tag model"]),
        ({"country_iso_code": "FRA"}, ["place"]),
        ({"intensity_g_per_kwh": 100.0}, ["place"]),
        ({"pue": 1.5}, ["PUE"]),
        ({"epochs": [EpochReport(index=i, duration_s=1.0) for i in range(7)]}, ["epochs"]),
        ({"name": "another", "metrics": {"loss": 1.0}}, []),
    ],
)
def test_what_else_differs_is_named(fields: dict[str, Any], named: list[str]) -> None:
    base = make_report(study="s", country_iso_code="DEU", strategy="single")
    other = make_report(**{"study": "s", "strategy": "single", **fields})
    found = tradeoff_of("p", [base, other]).differences
    assert found == ({"s": named} if named else {})


RUNS = st.lists(
    st.builds(
        run,
        st.floats(1e-6, 1e6),
        st.none() | st.floats(0, 1e3),
        strategy=st.sampled_from(["single", "ddp", "fsdp"]),
        workers=st.sampled_from([1, 2, 4, 10_000_000]),
        study=st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=8,
)


@given(RUNS, st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_order_of_runs_does_not_matter(runs: list[RunReport], shuffler: random.Random) -> None:
    assert tradeoff_of("p", shuffler.sample(runs, len(runs))) == tradeoff_of("p", runs)


@given(RUNS, st.sampled_from([1e-3, 60.0, 1024.0]))
@settings(max_examples=50)
def test_ratios_do_not_depend_on_the_unit_of_time(runs: list[RunReport], factor: float) -> None:
    scaled = [
        report.model_copy(
            update={
                "epochs": [
                    epoch.model_copy(update={"duration_s": epoch.duration_s * factor})
                    for epoch in report.epochs
                ]
            }
        )
        for report in runs
    ]
    before, after = tradeoff_of("p", runs).points, tradeoff_of("p", scaled).points
    for a, b in zip(before, after, strict=True):
        assert b.epoch_s == pytest.approx(a.epoch_s * factor)
        for field in ("speedup", "efficiency", "energy_ratio", "ideal_speedup"):
            assert getattr(b, field) == pytest.approx(getattr(a, field))


@given(RUNS)
@settings(max_examples=50)
def test_the_same_runs_again_change_no_mean(runs: list[RunReport]) -> None:
    once, twice = tradeoff_of("p", runs).points, tradeoff_of("p", [*runs, *runs]).points
    for a, b in zip(once, twice, strict=True):
        assert (b.runs, b.runs_with_energy, b.epochs) == tuple(
            2 * count for count in (a.runs, a.runs_with_energy, a.epochs)
        )
        for field in ("epoch_s", "energy_per_epoch_kwh", "emissions_per_epoch_kg", "energy_kwh"):
            assert getattr(b, field) == pytest.approx(getattr(a, field))
        for field in ("speedup", "efficiency", "energy_ratio", "duration_s"):
            assert getattr(b, field) == pytest.approx(getattr(a, field))


@given(RUNS)
@settings(max_examples=50)
def test_every_study_has_its_baseline_at_speedup_one(runs: list[RunReport]) -> None:
    result = tradeoff_of("p", runs)
    for study in {point.study for point in result.points}:
        points = [point for point in result.points if point.study == study]
        (baseline,) = (
            p
            for p in points
            if (p.strategy, p.workers) == (p.baseline_strategy, p.baseline_workers)
        )
        assert (baseline.speedup, baseline.ideal_speedup, baseline.efficiency) == (1, 1, 1)
        assert baseline.workers == min(point.workers for point in points)
    assert result == Tradeoff.model_validate_json(result.model_dump_json())


# ------------------------------------------------------------------- what else a configuration does


def test_a_sample_is_compared_where_epochs_grow_with_the_workers() -> None:
    """Weak scaling: twice the samples on two workers, in a little more time."""
    runs = [
        run(10.0, 1e-3, workers=1, config={"samples_per_epoch": 1000}),
        run(12.5, 3e-3, workers=2, config={"samples_per_epoch": 2000}),
    ]
    points = by_configuration(tradeoff_of("p", runs))
    one, two = points["ddp", 1], points["ddp", 2]
    assert (one.throughput_per_s, two.throughput_per_s) == (100.0, 160.0)
    assert two.speedup == pytest.approx(1.6)
    assert two.efficiency == pytest.approx(0.8)
    assert two.energy_per_sample_kwh == pytest.approx(1.5e-6)
    assert two.energy_ratio == pytest.approx(1.5)
    assert one.on_pareto_front
    assert two.on_pareto_front


def test_samples_of_unequal_epochs_are_compared_only_where_all_are_known() -> None:
    runs = [run(10.0, workers=1, config={"samples_per_epoch": 1000}), run(5.0, workers=2)]
    points = by_configuration(tradeoff_of("p", runs))
    assert points["ddp", 2].speedup == pytest.approx(2.0)
    assert points["ddp", 2].throughput_per_s is None
    assert points["ddp", 2].samples_per_epoch is None


@pytest.mark.parametrize("value", [True, 0, -5, "1000", None])
def test_what_is_no_number_of_samples_gives_no_throughput(value: Any) -> None:
    assert only(run(10.0, config={"samples_per_epoch": value})).throughput_per_s is None


def node(hostname: str, attempt: int = 0, **fields: Any) -> NodeReport:
    return NodeReport(hostname=hostname, attempt=attempt, **fields)


def test_what_the_nodes_did_is_averaged_over_them_and_traffic_is_added() -> None:
    nodes = [
        node("n1", series_means={"cpu_utilization": 5.0, "network_sent": 99.0}),
        node(
            "n1",
            attempt=1,
            series_means={"cpu_utilization": 40.0, "network_sent": 2.0, "cpu_frequency": 2000.0},
            devices=[
                DeviceReport(uuid="GPU-0", mean_utilization_percent=90.0),
                DeviceReport(uuid="GPU-1", mean_utilization_percent=70.0),
                DeviceReport(uuid="GPU-2"),
            ],
        ),
        node("n2", attempt=1, series_means={"cpu_utilization": 60.0, "network_sent": 3.0}),
    ]
    point = only(run(nodes=nodes), run(nodes=nodes[1:2]))
    assert point.cpu_utilization_percent == pytest.approx((50 + 40) / 2)
    assert point.cpu_utilization_percent_stdev == pytest.approx(50**0.5)
    assert point.network_sent_mb_per_s == pytest.approx((5 + 2) / 2)
    assert point.cpu_frequency_mhz == 2000.0
    assert point.gpu_utilization_percent == 80.0
    assert point.network_received_mb_per_s is None


def test_traffic_that_one_node_does_not_know_is_unknown() -> None:
    nodes = [node("n1", series_means={"network_sent": 2.0}), node("n2")]
    assert only(run(nodes=nodes)).network_sent_mb_per_s is None


def test_shares_are_of_the_profiled_time_of_all_ranks() -> None:
    profiles = [
        StepProfile(
            rank=rank,
            steps=2,
            duration_s=duration_s,
            compute_s=duration_s - 1.0,
            exposed_communication_s=0.5,
            overlapped_communication_s=0.25,
            idle_s=0.25,
        )
        for rank, duration_s in ((0, 2.0), (1, 3.0))
    ]
    point = only(run(nodes=[node("n1", profiles=profiles)]))
    assert point.compute_share == pytest.approx(3 / 5)
    assert point.exposed_communication_share == pytest.approx(1 / 5)
    assert point.overlapped_communication_share == pytest.approx(0.1)
    assert point.idle_share == pytest.approx(0.1)
