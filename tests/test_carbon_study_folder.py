"""A study's folder: what it says is what happened, whatever became of who wrote it."""

import json
from pathlib import Path

import pytest

from carbon.errors import CarbonError, UsageError
from carbon.study.folder import opened, read, read_history
from carbon.study.plan import Configuration, PlannedRun, plan
from tests.fixtures.studies import make_study, statuses

SPEC = make_study(repeats=2)
FIRST, SECOND = PlannedRun(Configuration("ddp", 1), 1), PlannedRun(Configuration("ddp", 2), 1)


def test_a_study_is_gone_on_with_as_it_was_left(tmp_path: Path) -> None:
    with opened(tmp_path, SPEC) as (folder, _):
        folder.plan([SECOND, FIRST])
        begun = folder.begin(SECOND)
        folder.end(SECOND, "completed", 2.0)
        folder.begin(FIRST, neighbours=2)
        assert folder.history.status(FIRST) == "running"
    with opened(tmp_path, SPEC) as (folder, _):
        history = folder.history
        assert history.planned == [SECOND, FIRST]
        assert history.begun() == [FIRST]
        assert history.last(SECOND).run_id == begun.run_id
        assert history.last(SECOND).run_id.version == 7
        assert history.last(FIRST).neighbours == 2
        assert history.completed_s(SECOND.configuration) == [2.0]


@pytest.mark.parametrize(
    ("status", "is_made_again", "on_request"),
    [("completed", False, False), ("failed", False, True), ("interrupted", True, True)],
)
def test_only_what_has_to_be_is_made_again(
    status: str, is_made_again: bool, on_request: bool, tmp_path: Path
) -> None:
    with opened(tmp_path, SPEC) as (folder, _):
        folder.plan([FIRST])
        folder.begin(FIRST)
        folder.end(FIRST, status, 1.0)  # type: ignore[arg-type]
        assert bool(folder.history.to_do(retry_failed=False)) is is_made_again
        assert bool(folder.history.to_do(retry_failed=True)) is on_request
        first_log = folder.log(FIRST)
        folder.begin(FIRST)
        assert folder.log(FIRST) != first_log, "each attempt has a file of its own"


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    with opened(tmp_path, SPEC) as (folder, _):
        folder.plan([FIRST, SECOND])
        folder.begin(FIRST)
        folder.end(FIRST, "completed", 1.0)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_text()
    for length in range(whole.rindex("{"), len(whole) - 1):
        journal.write_text(whole[:length])
        with opened(tmp_path, SPEC) as (folder, _):
            assert folder.history.status(FIRST) == "running"
            folder.begin(SECOND)
        assert statuses(tmp_path) == {FIRST.key: ["running"], SECOND.key: ["running"]}


def test_a_line_of_something_else_is_passed_over() -> None:
    for line in ("[]", "1", "{}", '{"event": "began", "run": "x"}', '{"event": "ended"}', "\0"):
        assert read(line + "\n").planned == []


def test_a_study_is_run_by_one_process(tmp_path: Path) -> None:
    with (
        opened(tmp_path, SPEC),
        pytest.raises(CarbonError, match="is being run by another process"),
        opened(tmp_path, SPEC),
    ):
        pass
    with opened(tmp_path, SPEC):
        pass


def test_another_study_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    with opened(tmp_path, SPEC) as (_, kept):
        pass
    with pytest.raises(UsageError, match="seed 3"), opened(tmp_path, make_study(seed=3)):
        pass
    with opened(tmp_path, make_study(repeats=4)) as (_, grown):
        assert grown == kept.model_copy(update={"repeats": 4})


def test_a_study_killed_before_its_order_was_noted_has_one_all_the_same(tmp_path: Path) -> None:
    with opened(tmp_path, SPEC):
        pass
    with opened(tmp_path, SPEC) as (folder, spec):
        folder.plan(plan(spec, folder.history.planned))
    assert len(statuses(tmp_path)) == 4
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["planned"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CarbonError, match=r"file/study: .*--folder"),
        opened(tmp_path / "file" / "study", SPEC),
    ):
        pass


def test_nothing_has_happened_where_there_is_no_study(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none").planned == []
