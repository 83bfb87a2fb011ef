"""`carbon study run` as it is called, rightly and wrongly; nothing is started here."""

import shlex
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from carbon import cli
from carbon.errors import CarbonError
from carbon.study import runner
from carbon.study.strategies import STARTS, Start
from tests.fixtures.studies import make_study

NAMED = ["--name", "s", "--strategies", "ddp", "--workers", "1,2"]
DIGITS = [*NAMED, "--task", "digits"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["carbon", "study", "run", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code if isinstance(left.value.code, int) else 0


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], 2, "name is missing"),
        (["--name", "s"], 2, "strategies is missing"),
        ([*NAMED], 2, "give either a task or a command"),
        ([*DIGITS, "--workers", "1,two"], 2, "workers.1 is 'two'"),
        ([*DIGITS, "--workers", "0"], 2, "workers.0 is '0'"),
        ([*DIGITS, "--workers", ""], 2, "workers.0 is ''"),
        ([*DIGITS, "--strategies", "ddp,,fsdp"], 2, "strategies.1 is ''"),
        ([*DIGITS, "--strategies", "best"], 2, "strategies.0 is 'best'"),
        ([*DIGITS, "--repeats", "0"], 2, "repeats is 0"),
        ([*DIGITS, "--repeats", "many"], 2, "--repeats"),
        ([*DIGITS, "--scaling", "big"], 2, "scaling is 'big'"),
        ([*DIGITS, "--size", "huge"], 2, "size is 'huge'"),
        ([*DIGITS, "--launcher", "ssh"], 2, "launcher is 'ssh'"),
        ([*DIGITS, "--launcher", "ray"], 2, "'ddp' does not run on a Ray cluster"),
        ([*DIGITS, "--launcher", "ray", "--strategies", "ray-ddp"], 1, "set RAY_ADDRESS"),
        ([*DIGITS, "--name", "../up"], 2, "a folder is named by it"),
        ([*DIGITS, "--taks", "digits"], 2, "--taks"),
        ([*DIGITS, "--", "python", "train.py", "{workers}"], 2, "'python' is no option"),
        ([*NAMED, "--", "work"], 2, "none of its words has {workers}"),
        (["absent.yaml"], 2, "absent.yaml: No such file"),
        (["wrong.yaml"], 2, "wrong.yaml: repeat: there is no such field"),
        (["one.yaml", "two.yaml"], 2, "two.yaml"),
        ([*DIGITS, "--folder", "wrong.yaml"], 1, "choose a --folder that can be written"),
    ],
)
def test_a_wrong_call_is_told_in_a_line_and_leaves_nothing_behind(
    arguments: list[str],
    code: int,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "name: s\ntask: digits\nstrategies: [ddp]\nworkers: [1]\nrepeat: 3\n"
    Path("wrong.yaml").write_text(text)
    assert called(monkeypatch, *arguments) == code
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert not Path("studies").exists()


def test_only_what_is_missing_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch) == 2
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["name is missing", "strategies is missing", "workers is missing"]


def test_a_strategy_that_is_not_installed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(STARTS, "fsdp", Start("torchrun", ("no_such_module",)))
    assert called(monkeypatch, *DIGITS, "--strategies", "ddp,fsdp") == 1
    said = capsys.readouterr().err
    assert said == "carbon: strategy 'fsdp' needs no_such_module, which is not installed\n"
    assert not Path("studies").exists()


def dry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[str]:
    assert called(monkeypatch, "--dry-run", *arguments) == 0
    assert not Path("studies").exists(), "a dry run writes nothing"
    return capsys.readouterr().out.splitlines()


def test_a_dry_run_tells_each_run_in_its_order_as_a_shell_would_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *lines = dry(monkeypatch, capsys, *DIGITS, "--threads-per-worker", "3")
    assert "CARBON_RUN_ID of its own" in first
    runs = list(zip(lines[::2], lines[1::2], strict=True))
    assert len(runs) == 6
    for number, (title, line) in enumerate(runs, 1):
        words = shlex.split(line)
        assert title == f"# {number} of 6: {words[-1]}"
        assert words[:3] == ["CARBON_SERIES=all", "OMP_NUM_THREADS=3", sys.executable]
        assert "--standalone" in words
    assert dry(monkeypatch, capsys, *DIGITS, "--threads-per-worker", "3")[1:] == lines


def test_options_win_over_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "name: s\ntask: digits\nstrategies: [ddp]\nworkers: [1, 2]\nepochs: 3\nseed: 1\n"
    Path("study.yaml").write_text(text)
    lines = dry(
        *(monkeypatch, capsys, "study.yaml", "--workers", "4", "--repeats", "1", "--epochs", "9"),
        *("--scaling", "weak", "--", "--profile-steps", "5"),
    )
    (words,) = (shlex.split(line) for line in lines if not line.startswith("#"))
    assert "--nproc-per-node=4" in words
    assert words[words.index("--epochs") + 1] == "9"
    assert words[words.index("--seed") + 1] == "1"
    assert words[words.index("--scaling") + 1] == "weak"
    assert words[-2:] == ["--profile-steps", "5"]


@pytest.mark.parametrize(
    ("launcher", "strategies", "named"),
    [
        ("local", "ddp,single", "torch.distributed.run"),
        ("slurm", "ddp,horovod", "#SBATCH --nodes=1"),
        ("ray", "ray-ddp,ray-deepspeed", "--strategy ray-ddp"),
    ],
)
def test_each_launcher_says_what_it_would_do(
    launcher: str,
    strategies: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = dry(monkeypatch, capsys, *DIGITS, "--launcher", launcher, "--strategies", strategies)
    assert any(named in line for line in lines)


def test_what_looks_like_an_option_behind_the_dashes_is_the_commands_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["./work", "--dry-run", "--name", "x", "--", "-n{workers}"]
    lines = dry(monkeypatch, capsys, *NAMED, "--", *command)
    started = [shlex.split(line) for line in lines if not line.startswith("#")]
    assert len(started) == 6
    assert {tuple(words[-6:]) for words in started} == {
        (*command[:-1], "-n1"),
        (*command[:-1], "-n2"),
    }


def test_a_ray_cluster_is_the_one_at_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_study(launcher="ray", strategies=["ray-ddp"])
    with pytest.raises(CarbonError, match="RAY_ADDRESS"):
        runner.check(spec)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    runner.check(spec)


@pytest.mark.parametrize("is_ignored", [True, False])
def test_a_terminal_that_is_closed_ends_a_study_but_under_nohup(is_ignored: bool) -> None:
    def left(*_: object) -> None:
        raise AssertionError("not within the block")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else left)
    try:
        expected = nullcontext() if is_ignored else pytest.raises(KeyboardInterrupt)
        with expected, runner._interruptible():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if is_ignored else left)
    finally:
        signal.signal(signal.SIGHUP, before)
