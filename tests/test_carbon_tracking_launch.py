"""`carbon run` as its user meets it: a command of any kind, measured from the outside."""

import os
import pty
import random
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.part import Part
from carbon.spool.spool import Spool
from tests.fixtures.api import LiveApi
from tests.fixtures.spools import the_report
from tests.fixtures.tracking import wait_until
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("known_processor")

Env = dict[str, str]

CARBON_RUN = [sys.executable, "-m", "carbon", "run", "--project", "digits"]


def carbon_run(
    *arguments: str, env: Env, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*CARBON_RUN, *arguments],
        env=env | {"COLUMNS": "200"},
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
    )


def started(*arguments: str, env: Env) -> "subprocess.Popen[bytes]":
    """A `carbon run` whose command has said in a line that it is ready."""
    process = subprocess.Popen(
        [*CARBON_RUN, *arguments],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def the_parts(settings: Settings) -> list[Part]:
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    return spool.parts(run_id)


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ("exit 0", 0, "completed"),
        ("exit 3", 3, "failed"),
        ("exit 143", 143, "interrupted"),
        ("kill -TERM $$", -signal.SIGTERM, "interrupted"),
        ("kill -INT $$", -signal.SIGINT, "interrupted"),
        ("kill -KILL $$", -signal.SIGKILL, "failed"),
        ("kill -SEGV $$", -signal.SIGSEGV, "failed"),
        ("kill -USR1 $$", -signal.SIGUSR1, "failed"),
    ],
)
def test_it_ends_as_its_command_does(
    script: str, code: int, status: str, settings: Settings, tracked_env: Env
) -> None:
    done = carbon_run("--", "sh", "-c", script, env=tracked_env)
    assert done.returncode == code
    assert done.stdout == b""
    report = the_report(settings)
    assert (report.status, report.project, report.world_size) == (status, "digits", 1)
    assert [node.ranks for node in report.nodes] == [[0]]


def test_what_goes_in_and_out_is_the_commands_own(tracked_env: Env) -> None:
    """10 MB through both pipes, errors apart from output, not a byte of ours."""
    sent = random.Random(0).randbytes(10_000_000)
    script = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer);"
    script += "sys.stderr.buffer.write(bytes(range(256)))"
    done = carbon_run("--", sys.executable, "-c", script, env=tracked_env, stdin=sent)
    assert done.returncode == 0
    assert done.stdout == sent
    assert done.stderr.startswith(bytes(range(256)))


@pytest.mark.parametrize("dashes", [["--"], []])
def test_the_commands_arguments_are_not_touched(dashes: list[str], tracked_env: Env) -> None:
    given = ["--project", "mine", "--", "-x", "a b", "*", "", "--help", "$HOME"]
    script = "import sys; print(sys.argv[1:])"
    done = carbon_run(*dashes, sys.executable, "-c", script, *given, env=tracked_env)
    assert done.stdout.decode() == f"{given}\n"


def test_files_opened_for_the_command_reach_it(tracked_env: Env, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        os.set_inheritable(file.fileno(), True)
        subprocess.run(
            [
                *CARBON_RUN,
                "--",
                sys.executable,
                "-c",
                f"import os; os.write({file.fileno()}, b'there')",
            ],
            env=tracked_env,
            pass_fds=[file.fileno()],
            check=True,
            timeout=PATIENCE_S,
        )
    assert (tmp_path / "out").read_text() == "there"


def test_a_script_without_a_first_line_is_the_shells(tracked_env: Env, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "got $1"\n')
    script.chmod(0o755)
    assert carbon_run("--", str(script), "it", env=tracked_env).stdout == b"got it\n"


@pytest.mark.parametrize(("kind", "code"), [("absent", 127), ("a folder", 126), ("a text", 126)])
def test_what_cannot_be_started_leaves_nothing_behind(
    kind: str, code: int, settings: Settings, tracked_env: Env, tmp_path: Path
) -> None:
    command = tmp_path / "command"
    if kind == "a folder":
        command.mkdir()
    elif kind == "a text":
        command.write_text("echo")
        command.chmod(stat.S_IRUSR)
    done = carbon_run("--", str(command), env=tracked_env)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(f"carbon: {command}: ")
    assert done.stderr.count(b"\n") == 1
    assert Spool(settings.spool_dir).waiting() == []
    assert list((settings.spool_dir / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--project", "p"], "COMMAND"),
        (["--project", "p", "--"], "COMMAND"),
        (["--", "true"], "--project"),
        (["--project", "", "--", "true"], "--project"),
        (["--project", "p", "--tag", "x", "--", "true"], "--tag"),
        (["--project", "p", "--tag", "=x", "--", "true"], "--tag"),
        (["--project", "p", "--config", "x", "--", "true"], "--config"),
        (["--project", "p", "--strategy", "best", "--", "true"], "--strategy"),
        (["--project", "p", "--stragety", "ddp", "--", "true"], "--stragety"),
        (["--project", "p", "--workers", "0", "--", "true"], "--workers"),
        (["--project", "p", "--workers", "10000001", "--", "true"], "--workers"),
        (["--project", "p", "--workers", "two", "--", "true"], "--workers"),
    ],
)
def test_a_wrong_call_names_what_is_wrong(
    arguments: list[str], named: str, settings: Settings, tracked_env: Env
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carbon", "run", *arguments],
        env=tracked_env | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert Spool(settings.spool_dir).waiting() == []


def test_what_is_said_on_the_command_line_is_in_the_report(
    settings: Settings, tracked_env: Env
) -> None:
    said = ["--strategy", "ddp", "--study", "s", "--name", "n", "--tag", "a=b=c", "--tag", "d="]
    said += ["--config", "lr=1e-3", "--config", "amp=true", "--config", "model=[1]"]
    carbon_run(*said, "--", "true", env=tracked_env)
    report = the_report(settings)
    assert (report.strategy, report.study, report.name) == ("ddp", "s", "n")
    assert report.tags == {"a": "b=c", "d": ""}
    assert report.config == {"lr": 1e-3, "amp": True, "model": "[1]"}


TWO_RANKS = """
import os, carbon
for rank in "01":
    os.environ |= {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}
    with carbon.track("p"):
        pass
"""


@pytest.mark.parametrize(("said", "workers"), [([], 2), (["--workers", "5"], 5)])
def test_the_workers_are_those_said_or_else_those_seen(
    said: list[str], workers: int, settings: Settings, tracked_env: Env
) -> None:
    done = carbon_run(*said, "--", sys.executable, "-c", TWO_RANKS, env=tracked_env)
    assert done.returncode == 0
    assert the_report(settings).world_size == workers


COUNTING = """
import signal, sys, time
seen = []
def note(number, frame):
    seen.append(signal.Signals(number).name)
for number in (1, 2, 3, 10, 12, 15):
    signal.signal(number, note)
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.3)
print(seen, sys.stdin.isatty())
sys.exit(4)
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, "interrupted"),
        (signal.SIGINT, "interrupted"),
        (signal.SIGHUP, "failed"),
        (signal.SIGQUIT, "failed"),
        (signal.SIGUSR1, "failed"),
        (signal.SIGUSR2, "failed"),
    ],
)
def test_a_signal_reaches_the_command_once_and_it_is_left_to_end(
    number: signal.Signals, status: str, settings: Settings, tracked_env: Env
) -> None:
    process = started("--", sys.executable, "-c", COUNTING, env=tracked_env)
    process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert output.decode() == f"['{number.name}'] False\n"
    assert process.returncode == 4
    assert the_report(settings).status == status


def test_a_signal_that_ends_the_command_ends_it_too(settings: Settings, tracked_env: Env) -> None:
    process = started("--", "sh", "-c", "echo ready; exec sleep 60", env=tracked_env)
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGTERM
    assert the_report(settings).status == "interrupted"


def test_signals_ignored_from_the_start_stay_so(tracked_env: Env) -> None:
    """As `nohup` and background jobs of scripts have it."""
    script = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,"
    script += " signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    done = subprocess.run(
        [
            "sh",
            "-c",
            'trap "" HUP; exec "$@"',
            "sh",
            *CARBON_RUN,
            "--",
            sys.executable,
            "-c",
            script,
        ],
        env=tracked_env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == "True set()\n", done.stderr


class Terminal:
    """A terminal with a program on it that leads the session, as a shell does."""

    def __init__(self, arguments: list[str], env: Env) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, *arguments], env)
        self.shown = b""

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def until(self, text: bytes) -> None:
        while text not in self.shown:
            self.shown += os.read(self._fd, 1024)  # Fails once everybody has left.

    def close(self) -> int:
        with suppress(OSError):
            while data := os.read(self._fd, 1024):
                self.shown += data
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_stays_one_and_its_keys_reach_the_command_once(
    settings: Settings, tracked_env: Env
) -> None:
    terminal = Terminal([*CARBON_RUN[1:], "--", sys.executable, "-c", COUNTING], tracked_env)
    terminal.until(b"ready")
    terminal.type(b"\x03")
    assert terminal.close() == 4
    assert b"['SIGINT'] True" in terminal.shown
    assert the_report(settings).status == "interrupted"


SHELL = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(sys.argv[1:], process_group=0)
os.tcsetpgrp(0, job.pid)
_, status = os.waitpid(job.pid, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status), flush=True)
os.killpg(job.pid, signal.SIGCONT)
_, status = os.waitpid(job.pid, os.WUNTRACED)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""


def test_a_job_can_be_stopped_and_continued(settings: Settings, tracked_env: Env) -> None:
    command = ["--", "sh", "-c", "echo ready; read line; exit 5"]
    terminal = Terminal(["-c", SHELL, *CARBON_RUN, *command], tracked_env)
    terminal.until(b"ready")
    terminal.type(b"\x1a")
    terminal.until(b"stopped True")
    terminal.type(b"line\n")
    terminal.close()
    assert b"ended 5" in terminal.shown
    assert the_report(settings).status == "failed"


def test_killed_it_leaves_an_interrupted_run_and_its_command_alone(
    settings: Settings, tracked_env: Env, tmp_path: Path
) -> None:
    script = f"echo ready; read line; echo went on > {tmp_path / 'done'}"
    process = started("--", "sh", "-c", script, env=tracked_env)
    wait_until(lambda: Spool(settings.spool_dir).waiting() != [])
    # The run's folder is there before its part is.
    wait_until(lambda: any(part.sampled.at_s > 0 for part in the_parts(settings)))
    process.kill()
    process.wait()
    process.communicate(b"line\n")
    wait_until((tmp_path / "done").exists)
    # A process that it was about to start may hold its files for a moment longer.
    wait_until(lambda: the_report(settings).status == "interrupted")


def test_the_run_is_delivered_before_it_ends(tracked_env: Env, live_api: LiveApi) -> None:
    env = tracked_env | {"CARBON_API_URL": live_api.url}
    done = carbon_run("--", "sh", "-c", "kill -TERM $$", env=env)
    assert done.returncode == -signal.SIGTERM
    with Client(live_api.settings) as client:
        assert [run.status for run in client.runs().items] == ["interrupted"]


def test_without_a_usable_spool_the_command_runs_all_the_same(
    tracked_env: Env, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    env = tracked_env | {"CARBON_SPOOL_DIR": str(tmp_path / "file/spool")}
    done = carbon_run("--", "sh", "-c", "echo out; exit 6", env=env)
    assert (done.returncode, done.stdout) == (6, b"out\n")
    assert b"Traceback" not in done.stderr


def test_a_bad_run_id_is_named_before_the_command_begins(tracked_env: Env) -> None:
    done = carbon_run("--", "echo", "ran", env=tracked_env | {"CARBON_RUN_ID": "mine"})
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"CARBON_RUN_ID is 'mine'" in done.stderr


def test_time_goes_by_for_the_command_alone(settings: Settings, tracked_env: Env) -> None:
    began_s = time.monotonic()
    carbon_run("--", "sleep", "0.5", env=tracked_env)
    report = the_report(settings)
    assert 0.5 <= report.duration_s < time.monotonic() - began_s
