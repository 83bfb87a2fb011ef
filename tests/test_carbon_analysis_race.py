"""The race of configurations, worked out by hand."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.race import Phase, Racer, race
from carbon.analysis.scaling_laws import Predicted
from carbon.errors import UsageError
from carbon.schema import EpochReport, RunReport
from tests.factories import make_report


def run(times_s: list[float], strategy: str | None = "ddp", workers: int = 1) -> RunReport:
    epochs = [EpochReport(index=i, duration_s=s) for i, s in enumerate(times_s)]
    return make_report(study="s", strategy=strategy, world_size=workers, epochs=epochs)


def test_repeats_race_as_their_mean_and_the_fastest_is_first() -> None:
    slow = run([30.0, 10.0, 20.0])
    repeats = [run([9.0, 3.0, 3.0], workers=4), run([11.0, 5.0, 5.0], workers=4)]
    first, second = race([slow, *repeats, run([1.0], strategy=None), run([])], epochs=3)
    assert (first.workers, first.runs, first.epoch_ends_s) == (4, 2, [10.0, 14.0, 18.0])
    assert (second.workers, second.runs, second.finish_s) == (1, 1, 60.0)
    assert not first.is_extrapolated
    assert first.phases == [Phase("warm-up", 0.0, 10.0), Phase("steady", 10.0, 18.0)]
    assert first.points == [(0, 0), (10, 1 / 3), (14, 2 / 3), (18, 1)]


def test_epochs_beyond_the_measured_are_extrapolated_without_the_warm_up() -> None:
    (racer,) = race([run([30.0, 10.0, 20.0])], epochs=5)
    assert racer.epoch_ends_s == [30.0, 40.0, 60.0, 75.0, 90.0]
    assert (racer.measured_epochs, racer.is_extrapolated) == (3, True)
    assert racer.phases == [
        Phase("warm-up", 0, 30),
        Phase("steady", 30, 60),
        Phase("extrapolated", 60, 90),
    ]
    (alone,) = race([run([30.0])], epochs=2)
    assert alone.epoch_ends_s == [30.0, 60.0]
    assert [phase.name for phase in alone.phases] == ["warm-up", "extrapolated"]
    (whole,) = race([run([30.0])], epochs=1)
    assert whole.phases == [Phase("steady", 0, 30)], "an only epoch is no warm-up"


def test_a_longer_run_races_the_epochs_of_the_race() -> None:
    (racer,) = race([run([30.0, 10.0, 20.0])], epochs=2)
    assert (racer.finish_s, racer.is_extrapolated) == (40.0, False)


def test_a_lost_epoch_is_not_raced() -> None:
    epochs = [
        EpochReport(index=i, attempt=a, duration_s=s)
        for i, a, s in ((0, 0, 9.0), (1, 0, 5.0), (1, 1, 7.0))
    ]
    (racer,) = race([make_report(study="s", epochs=epochs)], epochs=2)
    assert racer.epoch_ends_s == [9.0, 16.0]


def test_runs_that_went_on_from_each_other_race_as_one() -> None:
    first = run([9.0, 5.0])
    rest = make_report(
        study="s",
        strategy="ddp",
        resumed_from=first.run_id,
        epochs=[EpochReport(index=i, duration_s=7.0) for i in (1, 2)],
    )
    (racer,) = race([rest, first], epochs=3)
    assert (racer.epoch_ends_s, racer.runs) == ([9.0, 16.0, 23.0], 1)
    assert race([rest], epochs=3) == []
    assert race([rest.model_copy(update={"world_size": 2}), first], epochs=3) == []


def test_a_predicted_configuration_is_extrapolated_and_never_beside_its_measured_self() -> None:
    predicted = [
        ("ddp", Predicted(8, 1.5, 1.0, 2.0, is_extrapolated=True)),
        ("ddp", Predicted(1, 9.0, 8.0, 10.0, is_extrapolated=False)),
    ]
    eight, one = race([run([4.0, 2.0])], epochs=2, predicted=predicted)
    assert (eight.workers, eight.finish_s, eight.measured_epochs, eight.runs) == (8, 3.0, 0, 0)
    assert eight.phases == [Phase("extrapolated", 0.0, 3.0)]
    assert (one.workers, one.finish_s, one.is_extrapolated) == (1, 6.0, False)


def test_a_race_of_nothing() -> None:
    assert race([], 3) == []
    with pytest.raises(UsageError, match="epochs is 0"):
        race([run([1.0])], 0)


@pytest.mark.parametrize(
    ("moment_s", "done"),
    [(-1, 0), (0, 0), (5, 0.25), (10, 0.5), (11, 0.625), (14, 1), (99, 1)],
)
def test_how_far_it_is_at_a_moment(moment_s: float, done: float) -> None:
    assert Racer("ddp", 1, [10.0, 14.0], 2, 1).done_at(moment_s) == pytest.approx(done)


@given(
    st.lists(st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(1, 6),
)
@settings(max_examples=50)
def test_phases_fill_the_time_and_progress_never_goes_back(
    repeats: list[list[float]], epochs: int
) -> None:
    (racer,) = race([run(times_s) for times_s in repeats], epochs)
    assert len(racer.epoch_ends_s) == epochs
    phases = racer.phases
    assert (phases[0].from_s, phases[-1].until_s) == (0.0, racer.finish_s)
    assert all(a.until_s == b.from_s for a, b in pairwise(phases))
    done = [racer.done_at(racer.finish_s * i / 20) for i in range(21)]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert racer.done_at(racer.finish_s) == 1
