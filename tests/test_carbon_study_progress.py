"""How long a study will take, and how that is shown on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from carbon.attribution.run_id import new_run_id
from carbon.study.folder import Attempt, History
from carbon.study.plan import Configuration, PlannedRun
from carbon.study.progress import Progress, about
from tests.factories import make_report

FAST, SLOW = Configuration("ddp", 2), Configuration("ddp", 1)
RUNS = [PlannedRun(each, repeat) for repeat in (1, 2, 3) for each in (FAST, SLOW)]
NOW = make_report().started_at


def history(*taken: tuple[PlannedRun, str, float]) -> History:
    found = History(planned=list(RUNS))
    for run, status, duration_s in taken:
        attempt = Attempt(new_run_id(), NOW, status, duration_s)  # type: ignore[arg-type]
        found.attempts.setdefault(run, []).append(attempt)
    return found


def shown(told: History, console: Console | None = None) -> Progress:
    return Progress(console or Console(file=io.StringIO()), told)


def test_nothing_is_guessed_before_a_run_completed() -> None:
    assert shown(history()).time_left_s() is None
    assert shown(history((RUNS[0], "failed", 1.0))).time_left_s() is None


def test_a_run_takes_what_its_configuration_took() -> None:
    told = history((RUNS[0], "completed", 10.0), (RUNS[1], "completed", 100.0))
    assert shown(told).time_left_s() == pytest.approx(2 * 10 + 2 * 100)


def test_a_configuration_not_seen_yet_takes_what_all_took() -> None:
    told = history((RUNS[0], "completed", 10.0), (RUNS[2], "completed", 20.0))
    assert shown(told).time_left_s() == pytest.approx(15 + 3 * 15)


def test_what_was_interrupted_is_still_to_come_and_what_failed_is_not() -> None:
    told = history(
        (RUNS[0], "completed", 10.0), (RUNS[1], "failed", 1.0), (RUNS[2], "interrupted", 2.0)
    )
    assert shown(told).time_left_s() == pytest.approx(4 * 10)


def test_the_run_that_goes_on_counts_for_what_is_left_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = history((RUNS[0], "completed", 10.0))
    bar = shown(told)
    now_s = 1000.0
    monkeypatch.setattr("carbon.study.progress.time.monotonic", lambda: now_s)
    bar.began(RUNS[1])
    now_s += 4
    assert bar.time_left_s() == pytest.approx(5 * 10 - 4)
    now_s += 40
    assert bar.time_left_s() == pytest.approx(4 * 10), "never less than none"


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    told = history()
    with shown(told, Console(file=out)) as lines:
        lines.began(RUNS[0])
        lines.tick()
        told.attempts[RUNS[0]] = [Attempt(new_run_id(), NOW, "completed", 12.34)]
        lines.ended(RUNS[0])
        lines.began(RUNS[1])
        told.attempts[RUNS[1]] = [Attempt(new_run_id(), NOW, "failed", 1.0)]
        lines.ended(RUNS[1], "; see [log]")
    assert out.getvalue().splitlines() == [
        "[1/6] ddp x2, repeat 1 begins",
        "[1/6] ddp x2, repeat 1 completed after 12.3 s; about 1 min left",
        "[2/6] ddp x1, repeat 1 begins; about 1 min left",
        "[2/6] ddp x1, repeat 1 FAILED after 1.0 s; see [log]; about 49 s left",
    ]


def test_a_terminal_has_a_bar_with_the_time_left() -> None:
    out = io.StringIO()
    told = history((RUNS[0], "completed", 100.0))
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with shown(told, console) as bar:
        bar.began(RUNS[1])
    text = out.getvalue()
    assert "1/6" in text
    assert "about 8 min left" in text
    assert "ddp x1" in text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (3540, "59 min"), (7500, "2 h 5 min")],
)
def test_no_more_is_said_than_is_known(duration_s: float, text: str) -> None:
    assert about(duration_s) == f"about {text} left"
