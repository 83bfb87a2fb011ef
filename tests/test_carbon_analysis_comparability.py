"""Which runs can be compared, and in what the others differ."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.comparability import comparable_groups, compare, differences
from carbon.schema import DeviceReport, EpochReport, NodeReport, RunReport
from tests.factories import make_report

NODE: dict[str, Any] = {"hostname": "node-1", "energy_kwh": 0.003, "cpu_energy_kwh": 0.003}


def node(cpu_model: str | None = None, *gpus: str) -> NodeReport:
    devices = [DeviceReport(uuid=f"GPU-{i}", name=name) for i, name in enumerate(gpus)]
    return NodeReport(**NODE, cpu_model=cpu_model, devices=devices)


def run(workers: int = 1, strategy: str = "ddp", **fields: Any) -> RunReport:
    return make_report(**{"study": "s", "strategy": strategy, "world_size": workers} | fields)


def weak(workers: int) -> RunReport:
    config = {
        "scaling": "weak",
        "global_batch_size": 32 * workers,
        "samples_per_epoch": 8 * workers,
    }
    return run(workers, config=config)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"config": {"learning_rate": 0.2}}, ["config learning_rate"]),
        ({"config": {}}, ["config learning_rate"]),
        ({"config": {"learning_rate": 0.1, "model": "cnn"}}, ["config model"]),
        ({"config": {"learning_rate": 0.1, "seed": 7}}, []),
        ({"tags": {"data": "half"}}, ["tag data"]),
        ({"epochs": [EpochReport(index=i, duration_s=1.0) for i in range(7)]}, ["epochs"]),
        ({"country_iso_code": "FRA"}, ["place"]),
        ({"pue": 1.5}, ["PUE"]),
        ({"nodes": [node("EPYC 7402")]}, ["CPU model"]),
        ({"nodes": [node("Xeon", "A100")]}, ["GPU model"]),
        ({"nodes": [node("Xeon"), node("Xeon").model_copy(update={"hostname": "b"})]}, []),
        ({"software": {"python": "3.12.1", "torch": "2.13.0"}}, ["software python"]),
        ({"software": {"python": "3.11.9", "deepspeed": "0.19"}}, []),
        ({"name": "again", "metrics": {"loss": 1.0}, "user": "ada"}, []),
    ],
)
def test_what_differs_is_named_and_has_to_be_asked_for(
    fields: dict[str, Any], named: list[str]
) -> None:
    base: dict[str, Any] = {
        "config": {"learning_rate": 0.1},
        "nodes": [node("Xeon")],
        "software": {"python": "3.11.9", "torch": "2.13.0"},
    }
    runs = [run(1, **base), run(2, **base), run(4, "fsdp", **base | fields)]
    assert differences(runs) == named
    default = compare(runs)
    assert len(default.runs) == (2 if named else 3)
    assert default.left_out == runs[len(default.runs) :]
    assert (default.differences, default.left_out_for) == ([], named)
    asked = compare(runs, across=True)
    assert (asked.runs, asked.left_out, asked.differences) == (runs, [], named)


def test_as_many_gpus_as_workers_are_one_kind_of_hardware() -> None:
    runs = [run(n, nodes=[node("Xeon", *["A100"] * n)]) for n in (1, 2, 4)]
    assert differences(runs) == []
    assert differences([*runs, run(2, nodes=[node("Xeon", "A100", "V100")])]) == ["GPU model"]


def test_a_run_that_goes_on_from_a_checkpoint_has_the_epochs_of_its_training() -> None:
    whole = run(1, epochs=[EpochReport(index=i, duration_s=1.0) for i in range(6)])
    rest = run(2, epochs=[EpochReport(index=i, duration_s=1.0) for i in range(4, 6)])
    assert differences([whole, rest]) == []


def test_weak_scaling_grows_on_purpose() -> None:
    runs = [weak(1), weak(2), weak(4)]
    assert differences(runs) == []
    assert comparable_groups(runs) == [runs]
    larger = run(
        4, config={"scaling": "weak", "global_batch_size": 64 * 4, "samples_per_epoch": 8 * 4}
    )
    assert differences([*runs, larger]) == ["config global_batch_size"]


def test_weak_and_strong_scaling_are_groups_of_their_own() -> None:
    weakly = [weak(1), weak(2), weak(4)]
    config = {"scaling": "strong", "global_batch_size": 32, "samples_per_epoch": 8}
    strongly = [run(n, config=config) for n in (1, 2, 4, 8)]
    assert differences([*weakly, *strongly]) == [
        "config global_batch_size",
        "config samples_per_epoch",
        "config scaling",
    ]
    assert comparable_groups([*weakly, *strongly]) == [strongly, weakly]


def test_a_setting_of_one_strategy_is_compared_within_it() -> None:
    runs = [run(1), run(2), run(2, "deepspeed", config={"zero_stage": 2})]
    assert differences([*runs, run(4, config={"zero_stage": None})]) == []
    assert differences(runs) == []
    again = run(2, "deepspeed", config={"zero_stage": 2})
    other = run(4, "deepspeed", config={"zero_stage": 3})
    assert differences([*runs, again, other]) == ["config zero_stage"]
    assert comparable_groups([*runs, again, other]) == [[*runs, again], [other]]


def test_the_group_that_compares_most_is_first() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    one = [run(1, started_at=moment, config={"lr": 1}) for _ in range(5)]
    two = [run(n, started_at=moment, config={"lr": 2}) for n in (1, 2)]
    newer = [
        run(n, started_at=moment + timedelta(days=1), config={"lr": 3}, ended_at=None)
        for n in (1, 2)
    ]
    assert comparable_groups([*one, *two, *newer]) == [newer, two, one]


def test_no_runs_are_no_comparison() -> None:
    assert differences([]) == []
    assert comparable_groups([]) == []
    assert compare([]) == compare([], across=True)


RUNS = st.lists(
    st.builds(
        run,
        st.sampled_from([1, 2, 4]),
        st.sampled_from(["ddp", "deepspeed"]),
        config=st.fixed_dictionaries(
            {},
            optional={
                "lr": st.sampled_from([0.1, 0.2]),
                "global_batch_size": st.sampled_from([32, 64, 128, True, None, "x"]),
                "zero_stage": st.sampled_from([1, 2]),
            },
        ),
        software=st.fixed_dictionaries({}, optional={"python": st.sampled_from(["3.11", "3.12"])}),
    ),
    max_size=6,
)


@given(RUNS, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_groups_have_each_run_once_and_no_differences(
    runs: list[RunReport], shuffler: random.Random
) -> None:
    groups = comparable_groups(runs)
    ids = [each.run_id for group in groups for each in group]
    assert sorted(ids) == sorted(each.run_id for each in runs)
    assert [differences(group) for group in groups] == [[]] * len(groups)
    shuffled = comparable_groups(shuffler.sample(runs, len(runs)))
    as_sets = [
        {frozenset(each.run_id for each in group) for group in g} for g in (groups, shuffled)
    ]
    assert as_sets[0] == as_sets[1]
    assert (len(groups) > 1) == bool(differences(runs))
