"""A search of ten scripted trials, whose answers are worked out by hand, and its edges."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.tuning import (
    Spent,
    Trial,
    best_of,
    change_percent,
    energy_after,
    search,
    times_final,
)
from carbon.errors import UsageError
from carbon.schema import EpochReport
from tests.factories import make_report

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def trial(
    number: int,
    status: Any,
    values: list[float | None],
    energy_kwh: float | None,
    began: float,
    ended: float | None,
    **fields: Any,
) -> Trial:
    """A trial from and until so many minutes after the start, at 400 g/kWh."""
    return Trial(
        trial_id=f"t{number}",
        status=status,
        parameters={"learning_rate": 10.0**-number},
        values=values,
        energy_kwh=energy_kwh,
        emissions_kg=None if energy_kwh is None else round(0.4 * energy_kwh, 9),
        started_at=at(began),
        ended_at=None if ended is None else at(ended),
        **fields,
    )


# The best value, 0.10, is that of t4 at minute 30, where its second epoch of four ends. Not the
# best are t8, which came to the same later, and t5, which failed after a better one.
SWEEP = [
    trial(0, "completed", [0.9, 0.7, 0.6, 0.5], 0.4, 0, 20),
    trial(1, "stopped", [0.95], 0.1, 0, 5),
    trial(2, "stopped", [0.9, 0.8], 0.2, 5, 15),
    trial(3, "failed", [None], 0.05, 15, 18),
    trial(4, "completed", [0.4, 0.1, 0.2, 0.3], 0.4, 20, 40),
    trial(5, "failed", [0.05, None], 0.3, 20, 30),
    trial(6, "stopped", [0.8], 0.1, 30, 35),
    trial(7, "completed", [0.5, 0.4, 0.3, 0.2], 0.4, 25, 45),
    trial(8, "completed", [0.6, 0.3, 0.2, 0.1], 0.4, 40, 60),
    trial(9, "stopped", [0.9], None, 45, 50),
]


def test_the_best_of_the_sweep() -> None:
    found = best_of(SWEEP, "min")
    assert found is not None
    assert (found.trial.trial_id, found.value, found.epoch) == ("t4", 0.1, 1)
    assert found.reported_at == at(30)
    assert found.trial.parameters == {"learning_rate": 1e-4}
    highest = best_of(SWEEP, "max")
    assert highest is not None
    assert (highest.trial.trial_id, highest.reported_at) == ("t1", at(5))


def test_what_the_sweep_spent() -> None:
    found = search(SWEEP, "min")
    assert found.total == Spent(2.35, 0.94, trials=10, trials_without_energy=1)
    assert found.by_status == {
        "completed": Spent(1.6, 0.64, 4, 0),
        "stopped": Spent(0.4, 0.16, 4, 1),
        "failed": Spent(0.35, 0.14, 2, 0),
    }


def test_what_the_sweep_spent_after_its_best() -> None:
    # Half of t4, all of t6, three quarters of t7, all of t8; t9 was not measured.
    after = search(SWEEP, "min").after_best
    assert after is not None
    assert after.energy_kwh == pytest.approx(0.2 + 0.1 + 0.3 + 0.4)
    assert after.emissions_kg == pytest.approx(0.4)
    assert (after.trials, after.trials_without_energy) == (5, 1)


def test_a_published_improvement_comes_out_as_published() -> None:
    change = change_percent(4.795851782546379e-5, 1.872707944130525e-4)
    assert change is not None
    assert round(change, 2) == -74.39
    assert change_percent(1.0, 0.0) is None
    assert change_percent(-1.0, -2.0) == 50


def test_the_search_beside_the_final_training() -> None:
    assert times_final(2.35, 0.5) == pytest.approx(4.7)
    assert times_final(None, 0.5) is times_final(2.35, None) is times_final(2.35, 0.0) is None


def test_a_search_that_goes_on_counts_until_its_last_moment_or_the_one_asked_for() -> None:
    trials = [
        trial(0, "completed", [0.5, 0.1], 0.2, 0, 20),
        trial(1, "running", [0.6], 0.3, 10, None),
    ]
    # Until minute 20, t1 has drawn all after the best.
    found = search(trials, "min")
    assert found.best is not None
    assert found.best.reported_at == at(20)
    assert found.after_best == Spent(0.0, 0.0, 0, 0)
    later = search(trials, "min", as_of=at(40)).after_best
    assert later is not None
    assert later.energy_kwh == pytest.approx(0.2)  # 20 of 30 minutes.
    assert set(found.by_status) == {"completed", "running"}


def test_known_times_of_epochs_are_used() -> None:
    slow_first = trial(0, "completed", [0.1, 0.2], 0.4, 0, 20, reported_s=[900.0, 1200.0])
    found = search([slow_first], "min")
    assert found.best is not None
    assert found.best.reported_at == at(15)
    assert found.after_best is not None
    assert found.after_best.energy_kwh == pytest.approx(0.1)
    with pytest.raises(UsageError, match="trial t0 has 1 values and 2 times of them"):
        trial(0, "completed", [0.1], 0.4, 0, 20, reported_s=[1.0, 2.0])


def test_a_search_without_values_has_no_best() -> None:
    found = search(
        [trial(0, "failed", [0.1], 0.1, 0, 1), trial(1, "running", [], None, 0, None)], "min"
    )
    assert (found.best, found.after_best) == (None, None)
    assert found.total == Spent(0.1, 0.04, 2, 1)
    unmeasured = search([trial(0, "completed", [0.1], None, 0, 1)], "min").total
    assert unmeasured == Spent(None, None, 1, 1)
    assert search([], "max").total == Spent(0.0, 0.0, 0, 0)


@pytest.mark.parametrize(
    ("status", "was_stopped", "expected"),
    [
        ("completed", False, "completed"),
        ("running", False, "running"),
        ("failed", False, "failed"),
        ("interrupted", False, "failed"),
        ("interrupted", True, "stopped"),
        ("failed", True, "stopped"),
    ],
)
def test_a_run_is_a_trial(status: str, was_stopped: bool, expected: str) -> None:
    report = make_report(
        status=status,
        ended_at=None if status == "running" else at(1),
        started_at=START,
        config={"learning_rate": 0.1, "epochs": 2},
        epochs=[
            EpochReport(index=0, duration_s=20.0, metrics={"loss": 0.5}),
            EpochReport(index=1, duration_s=15.0, metrics={"loss": 0.4}),
        ],
    )
    found = Trial.of(report, "loss", ["learning_rate", "dropout"], was_stopped=was_stopped)
    assert found.status == expected
    assert found.parameters == {"learning_rate": 0.1, "dropout": None}
    assert (found.values, found.reported_s) == ([0.5, 0.4], [20.0, 35.0])
    assert (found.energy_kwh, found.emissions_kg) == (report.energy_kwh, report.emissions_kg)


TRIALS = st.lists(
    st.builds(
        trial,
        st.integers(0, 9),
        st.sampled_from(["completed", "stopped", "failed"]),
        st.lists(st.none() | st.floats(-10, 10), max_size=4),
        st.none() | st.floats(0, 10),
        st.integers(0, 50),
        st.integers(50, 100),
    ),
    max_size=6,
)


@given(TRIALS, st.integers(-10, 110), st.integers(0, 50))
@settings(max_examples=60)
def test_the_later_the_moment_the_less_is_left(trials: list[Trial], minute: int, more: int) -> None:
    whole = search(trials, "min").total.energy_kwh or 0.0
    left = energy_after(trials, at(minute)).energy_kwh or 0.0
    later = energy_after(trials, at(minute + more)).energy_kwh or 0.0
    assert whole + 1e-9 >= left >= later - 1e-9
    assert energy_after(trials, at(100)).trials == 0
    if all(trial.ended_at != trial.started_at for trial in trials):
        assert energy_after(trials, at(-1)).energy_kwh == search(trials, "min").total.energy_kwh
