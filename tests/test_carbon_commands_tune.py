"""`carbon study tune` called wrongly, from files, and its commands."""

import io
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from carbon.attribution.run_id import new_run_id
from carbon.cli import app
from carbon.errors import UsageError
from carbon.schema import EpochReport
from carbon.tuning.commands import trial_command
from carbon.tuning.journal import Journal, Trial
from carbon.tuning.search import check_unchanged, resumed
from carbon.tuning.space import Domain, domain_from_text, parameters_from_text, shown
from carbon.tuning.spec import read_document, spec_from
from carbon.tuning.tables import line_of, trials_table
from carbon.tuning.trials import trials_of
from tests.factories import make_report

SPACE = ["--space", "x=log:1e-4:1e-1"]
COMMAND = ["--", "train", "{x}"]

WRONG = [
    (["--name", "a", *COMMAND], "--space is missing"),
    ([*SPACE, *COMMAND], "--name is missing"),
    (["--name", "a/b", *SPACE, *COMMAND], "a/b"),
    (["--name", "a", *SPACE], "give what to train"),
    (["--name", "a", *SPACE, "--task", "digits", *COMMAND], "give what to train"),
    (["--name", "a", "--space", "x", *COMMAND], "--space x: give it as PARAMETER=DOMAIN"),
    (["--name", "a", "--space", "x=normal:0:1", *COMMAND], "'normal' is no kind of domain"),
    (["--name", "a", "--task", "digits", "--space", "x=foo:1:2"], "'foo' is no kind of domain"),
    (["--name", "a", "--space", "x=log:0:1", *COMMAND], "has to begin above 0"),
    (["--name", "a", "--space", "x=int:1:2.5", *COMMAND], "have to be whole numbers"),
    (["--name", "a", "--space", "x=float:2:1", *COMMAND], "has to be below"),
    (["--name", "a", "--space", "x=float:a:b", *COMMAND], "give float:LOW:HIGH"),
    (["--name", "a", "--space", "x=choice:1,1", *COMMAND], "different choices"),
    (["--name", "a", "--space", "seed=int:1:2", *COMMAND], "--space seed"),
    (["--name", "a", *SPACE, "--", "train"], "no {x} for it"),
    (["--name", "a", *SPACE, "--", "train", "{x}", "{y}"], "{y} in the command"),
    (["--name", "a", *SPACE, "--trials", "0", *COMMAND], "--trials 0"),
    (["--name", "a", *SPACE, "--mode", "best", *COMMAND], "--mode 'best'"),
    (["--name", "a", *SPACE, "--backend", "hyperopt", *COMMAND], "--backend 'hyperopt'"),
    (["--name", "a", *SPACE, "--reduction", "1", *COMMAND], "--reduction 1"),
    (["--name", "a", *SPACE, "--grace-epochs", "20", *COMMAND], "--grace-epochs 20: more than"),
    (["--name", "a", *SPACE, "--baseline", "y=1", *COMMAND], "--baseline: x is missing"),
    (["--name", "a", *SPACE, "--baseline", "x", *COMMAND], "--baseline x: give it as"),
    (["--name", "a", *SPACE, "--first", "x=1", *COMMAND], "x=1 is outside"),
    (["--name", "a", *SPACE, "--task", "digits", "--workers-per-trial", "2"], "one worker"),
    (["--name", "a", *SPACE, "--task", "nope"], "'nope' is none of the trainers'"),
    (["--name", "a", *SPACE, "--task", "digits", "--strategy", "other"], "--strategy other"),
    (["nowhere.yaml"], "nowhere.yaml: No such file"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_call_is_one_line_that_names_it(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["study", "tune", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dry_run_tells_each_trial_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--name", "a", *SPACE, "--trials", "3", "--first", "x=0.01", "--baseline", "x=0.001"]

    def told(*more: str) -> list[str]:
        call = ["study", "tune", *asked, "--dry-run", *more, "--", "train", "{x}", "{trial}"]
        done = CliRunner().invoke(app, call)
        assert done.exit_code == 0, done.output
        assert not list(tmp_path.iterdir())
        return done.stdout.splitlines()

    first, *lines = told("--final")
    assert "1 at a time" in first
    assert lines[-1] == "# and the best of them once more"
    assert lines[0] == "# the baseline: x=0.001"
    assert lines[2] == "# trial 0 of 3: x=0.01"
    commands = [shlex.split(line) for line in lines[1:-1:2]]
    assert [command[-1] for command in commands] == ["baseline", "0", "1", "2"]
    drawn = [float(command[-2]) for command in commands]
    assert drawn[:2] == [0.001, 0.01]
    assert all(1e-4 <= x <= 1e-1 for x in drawn)
    assert lines[:-1] == told()[1:], "the same trials on every call, as the search has them"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "mapping"),
        ("name: [\n", "no YAML"),
        ("name: a\nlearning: 3\n", "'learning' is none of the keys name,"),
    ],
)
def test_a_wrong_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "tune.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_document(file)
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


def test_a_file_says_what_flags_say(tmp_path: Path) -> None:
    file = tmp_path / "tune.yaml"
    file.write_text(
        "name: search-1\ntask: digits\nmax-epochs: 9\nspace:\n  learning_rate: log:1e-4:1e-1\n"
        "baseline: {learning_rate: 0.001}\nfirst: [{learning_rate: 0.01}]\n"
    )
    spec = spec_from(read_document(file))
    assert (spec.max_epochs, spec.baseline) == (9, {"learning_rate": 0.001})
    assert spec.domains == {"learning_rate": Domain("log", 1e-4, 1e-1)}
    assert spec.project_name == "digits"


def test_domains_and_parameters_are_read() -> None:
    assert domain_from_text("a", "choice:32,x,true").choices == (32, "x", True)
    assert not domain_from_text("a", "int:1:4").holds(2.0)
    assert not domain_from_text("a", "int:1:4").holds(5)
    assert domain_from_text("a", "float:0:1").holds(1)
    assert parameters_from_text("first", "a=1e-3, b=x") == {"a": 1e-3, "b": "x"}
    assert shown({"a": 0.123456, "b": 3, "c": "x"}) == "a=0.1235 b=3 c=x"


def test_a_trial_of_the_trainers_tells_what_it_was_tried_for() -> None:
    spec = spec_from(
        {
            "name": "search-1",
            "task": "digits",
            "strategy": "ddp",
            "workers_per_trial": 2,
            "space": {"learning_rate": "log:1e-4:1e-1", "batch_size": "choice:32,64"},
            "max_epochs": 7,
        }
    )
    command = trial_command(spec, "3", {"learning_rate": 0.25, "batch_size": 64})
    end = command.index("--")
    assert command[:5] == [sys.executable, "-m", "carbon", "run", "--project"]
    assert "trial=3" in command[:end]
    assert {"learning_rate=0.25", "search_metric=loss", "search_mode=min", "search_epochs=7"} < set(
        command[:end]
    )
    training = " ".join(command[end:])
    assert "torch.distributed.run --standalone --nproc-per-node=2 -m trainers.train" in training
    assert "--task digits --epochs 7 --seed 0 --learning-rate 0.25 --batch-size 64" in training


def test_a_search_that_has_begun_is_not_another_one(tmp_path: Path) -> None:
    given = {"name": "a", "space": {"x": "float:0:1"}, "command": ["train", "{x}"]}
    journal = Journal(tmp_path)
    journal.begun(spec_from(given).model_dump(mode="json"))
    again = spec_from(resumed(journal, {"name": "a", "trials": 40}))
    check_unchanged(journal, again)
    assert (again.trials, again.command) == (40, ("train", "{x}"))
    with pytest.raises(UsageError, match=r"--seed 3: the search in .* has begun with 0"):
        check_unchanged(journal, spec_from(resumed(journal, {"name": "a", "seed": 3})))


def test_a_line_torn_by_a_kill_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begun({})
    with open(journal.path, "a") as file:
        file.write(json.dumps({"event": "started"})[:8])
    assert journal.trials() == []


def test_the_table_of_trials_cuts_no_figure_short_on_a_common_terminal() -> None:
    spaces = {"learning_rate": "log:1e-4:1e-1", "batch_size": "choice:32,64"}
    spec = spec_from({"name": "search-1", "task": "digits", "space": spaces})
    trial = Trial(
        name="baseline",
        parameters={"learning_rate": 0.0001409402955, "batch_size": 64},
        run_id=new_run_id(),
        started_at=datetime.now(UTC),
        values={1: 0.4312345678},
        status="stopped",
        energy_kwh=2.01e-05,
        emissions_kg=7.66e-6,
        reason="asha",
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(trials_table(spec, [trial]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    for whole in ("baseline", "20.1 mWh", "7.66 mg", "0.0001409"):
        assert whole in text
    assert "20.1 mWh  7.66 mg CO2e  asha" in line_of(spec, trial)


def test_of_a_completed_trial_the_last_epoch_ends_with_the_run() -> None:
    """Imports and data come before the epochs: counted after the best, they would be waste."""

    def reported(status: str) -> dict[int, float]:
        run = make_report(
            status=status,
            duration_s=30.0,
            epochs=[EpochReport(index=i, duration_s=10.0, metrics={"loss": 1.0}) for i in (0, 1)],
            tags={"trial": "0"},
            config={"search_metric": "loss", "search_parameters": ""},
        )
        return trials_of([run])[0].reported_s

    assert reported("completed") == {1: 20.0, 2: 30.0}
    assert reported("failed") == {1: 10.0, 2: 20.0}
