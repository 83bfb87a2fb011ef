"""Metrics against what they cost, over attempts and over runs that go on from each other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.lineage import Lineage, lineages
from carbon.analysis.reaching import Milestone, cost_to_reach, course
from carbon.schema import EpochReport, RunReport
from tests.factories import make_report, run_id_at

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
IDS = [run_id_at(MOMENT + timedelta(hours=i)) for i in range(5)]


def epoch(index: int, attempt: int = 0, **fields: Any) -> EpochReport:
    """One of 10 s and 0.1 kWh, with an accuracy that grows by a tenth each."""
    accuracy = round(0.1 * (index + 1), 9)
    values: dict[str, Any] = {"duration_s": 10.0, "energy_kwh": 0.1}
    values["metrics"] = {"accuracy": accuracy, "loss": 1 - accuracy}
    return EpochReport(index=index, attempt=attempt, **values | fields)


def run(number: int, *epochs: EpochReport, after: int | None = None, **fields: Any) -> RunReport:
    return make_report(
        run_id=IDS[number],
        epochs=list(epochs),
        resumed_from=None if after is None else IDS[after],
        **{"intensity_g_per_kwh": 500.0, "pue": 1.0} | fields,
    )


def kept(lineage: Lineage) -> list[int]:
    return [trained.epoch.index for trained in lineage.epochs if not trained.is_lost]


def test_a_metric_stands_beside_what_it_cost_until_then() -> None:
    assert course(run(0, epoch(0), epoch(1)), "accuracy") == [
        Milestone(0, 0.1, 10.0, 0.1, 0.05),
        Milestone(1, 0.2, 20.0, 0.2, 0.1),
    ]
    assert [m.value for m in course(run(0, epoch(0)), "f1")] == [None]
    assert course(run(0), "accuracy") == []


@pytest.mark.parametrize(
    ("metric", "target", "mode", "index"),
    [
        ("accuracy", 0.3, "max", 2),
        ("accuracy", 0.25, "max", 2),  # The epoch that reaches it, not a moment in it.
        ("accuracy", 0.05, "max", 0),
        ("accuracy", 0.41, "max", None),
        ("loss", 0.75, "min", 2),
        ("loss", 0.5, "min", None),
        ("f1", 0.0, "max", None),
    ],
)
def test_the_cost_to_a_target(metric: str, target: float, mode: Any, index: int | None) -> None:
    milestones = course(run(0, *(epoch(i) for i in range(4))), metric)
    reached = cost_to_reach(milestones, target, mode)
    assert (None if reached is None else reached.index) == index
    if reached is not None:
        assert reached.time_s == 10.0 * (reached.index + 1)
        assert reached.energy_kwh == pytest.approx(0.1 * (reached.index + 1))


def test_lost_epochs_cost_and_do_not_count() -> None:
    # The second attempt goes on from epoch 1: epochs 1 and 2 of the first are lost.
    restarted = run(0, epoch(0), epoch(1), epoch(2), epoch(1, 1), epoch(2, 1))
    milestones = course(restarted, "accuracy")
    assert [(m.index, m.time_s) for m in milestones] == [(0, 10.0), (1, 40.0), (2, 50.0)]
    assert milestones[-1].energy_kwh == 0.5
    assert milestones[-1].emissions_kg == 0.25


def test_a_chain_of_runs_is_one_training() -> None:
    first = run(0, epoch(0), epoch(1), epoch(2), intensity_g_per_kwh=100.0)
    second = run(1, epoch(2), epoch(3), after=0, pue=1.5)
    third = run(2, epoch(4), after=1)
    (lineage,) = lineages([third, first, second])
    assert [r.run_id for r in lineage.runs] == IDS[:3]
    assert lineage.missing is None
    assert kept(lineage) == [0, 1, 2, 3, 4]
    last = course(lineage, "accuracy")[-1]
    assert (last.time_s, last.energy_kwh) == (60.0, 0.6)
    # Three epochs at 100 g/kWh, two at 500 with a PUE of 1.5, one at 500.
    assert last.emissions_kg == pytest.approx(0.03 + 0.15 + 0.05)


def test_epochs_that_a_shorter_resumption_gave_up_are_lost() -> None:
    (lineage,) = lineages([run(0, *(epoch(i) for i in range(5))), run(1, epoch(2), after=0)])
    assert kept(lineage) == [0, 1, 2]
    assert [t.is_lost for t in lineage.epochs] == [False, False, True, True, True, False]
    # What the last attempt goes on from decides, also where one between had gone further back.
    back = run(0, epoch(0), epoch(1), epoch(0, 1), epoch(1, 1), epoch(2, 1), epoch(2, 2))
    assert [t.is_lost for t in Lineage([back]).epochs] == [True, True, False, False, True, False]


def test_two_that_go_on_from_one_have_a_lineage_each() -> None:
    first, left, right = run(0, epoch(0)), run(1, epoch(1), after=0), run(2, epoch(1), after=0)
    found = lineages([first, left, right])
    assert [[r.run_id for r in lineage.runs] for lineage in found] == [
        [IDS[0], IDS[1]],
        [IDS[0], IDS[2]],
    ]


def test_a_run_that_is_not_there_is_missed() -> None:
    (lineage,) = lineages([run(1, epoch(3), epoch(4), after=0)])
    assert (lineage.missing, kept(lineage)) == (IDS[0], [3, 4])


def test_a_circle_has_an_end() -> None:
    found = lineages([run(0, epoch(0), after=1), run(1, epoch(1), after=0), run(2, after=2)])
    assert sorted(len(lineage.runs) for lineage in found) == [1, 2]
    assert {lineage.missing for lineage in found} == {None}


def test_an_unknown_energy_makes_what_follows_unknown() -> None:
    milestones = course(run(0, epoch(0), epoch(1, energy_kwh=None), epoch(2)), "accuracy")
    assert [m.energy_kwh for m in milestones] == [0.1, None, None]
    assert [m.time_s for m in milestones] == [10.0, 20.0, 30.0]
    nowhere = course(run(0, epoch(0), intensity_g_per_kwh=None), "accuracy")
    assert (nowhere[0].energy_kwh, nowhere[0].emissions_kg) == (0.1, None)


def test_a_skipped_epoch_is_none() -> None:
    resumed = run(0, epoch(0), epoch(1), epoch(0, 1, duration_s=0.0), epoch(2, 1))
    assert kept(Lineage([resumed])) == [0, 1, 2]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), unique=True, max_size=6),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=60)
def test_no_epoch_counts_twice_and_none_is_free(chain: list[list[tuple[int, int]]]) -> None:
    runs = [
        run(i, *(epoch(index, attempt) for attempt, index in epochs), after=i - 1 if i else None)
        for i, epochs in enumerate(chain)
    ]
    (lineage,) = lineages(runs)
    assert kept(lineage) == sorted(set(kept(lineage)))
    milestones = course(lineage, "accuracy")
    if milestones:
        assert milestones[-1].time_s == 10.0 * sum(len(epochs) for epochs in chain)
