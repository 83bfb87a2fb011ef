"""`carbon run`: a command in any language, measured from the outside as one run.

The command has this process's own files, terminal and process group, so that only what is sent to
this process alone has to be passed on to it. Whatever `carbon.track` measures inside of it, at any
depth, becomes part of the same run: the run's id is in its environment, and the meters are read
here.
"""

import errno
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn
from uuid import UUID

from carbon.attribution import enclosing_run, run_id, topology
from carbon.attribution.naming import name_run
from carbon.errors import CommandError, SpoolError
from carbon.schema import RunSpec, Status
from carbon.settings import Settings
from carbon.spool.part import Started
from carbon.spool.spool import HeldFile, Spool
from carbon.tracking import clocks
from carbon.tracking.metering import machine_sources
from carbon.tracking.recorder import Recorder
from carbon.tracking.tracker import EXIT_WAIT_S

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes for a command that cannot be started, as POSIX has them for shells."""

_PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
}
_STOPPING = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_OF_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP}
_INTERRUPTING = {signal.SIGINT, signal.SIGTERM}


def run(
    command: Sequence[str], spec: RunSpec, settings: Settings, workers: int | None = None
) -> NoReturn:
    """Run `command` to its end as a run of its own, and end as it did: same exit code or signal.

    Args:
        command: its words.
        spec: what is said of the run.
        settings: those of this process.
        workers: how many there are; None is as many as are tracked inside.

    Raises:
        CommandError: it cannot be started; nothing is recorded then.
        SettingsError: CARBON_RUN_ID is set to what is no run's id.
    """
    place = topology.detect(os.environ)
    the_run, _ = name_run(spec, place, os.environ)
    environ = {
        **os.environ,
        run_id.VARIABLE: str(the_run),
        enclosing_run.VARIABLE: enclosing_run.this_process(place.hostname),
        # The same one even where the command reads another pyproject.toml.
        "CARBON_SPOOL_DIR": str(settings.spool_dir),
    }
    held_back = _hold_back(settings, the_run)
    began_s, began_at = clocks.now()
    started = Started(
        run_id=str(the_run),
        started_at=began_at.isoformat(),
        spec=spec.model_dump(mode="json"),
        hostname=place.hostname,
        pid=os.getpid(),
        rank=place.rank,
        world_size=place.world_size,
        n_nodes=place.n_nodes,
        attempt=place.attempt,
        began_s=began_s,
        is_launcher=True,
        workers=workers,
    )
    recorder = Recorder(
        started, began_s, settings, place, machine_sources(settings), held_back=held_back
    )
    # Before any thread is there: threads inherit which signals are left to the main one.
    try:
        child = _Child.start(command, environ)
    except CommandError:
        if held_back is not None:
            held_back.remove()
        raise
    recorder.start()
    exit_code = child.wait()
    ended_s = time.monotonic()
    recorder.stop(_status(exit_code, child.received), ended_s)
    recorder.written.wait(EXIT_WAIT_S)
    child.give_signals_back()
    recorder.delivered.wait(max(ended_s + EXIT_WAIT_S - time.monotonic(), 0.0))
    _end_like(exit_code)


def _hold_back(settings: Settings, the_run: UUID) -> HeldFile | None:
    try:
        return Spool(settings.spool_dir).hold_back(the_run)
    except SpoolError:
        return None  # Another `carbon run` of this run has begun; or the recorder will warn of it.


def _status(exit_code: int, received: set[int]) -> Status:
    """Return the run's status; `exit_code` is negative for a signal, as in `subprocess`."""
    if exit_code == 0:
        return "completed"
    interrupted = {code for number in _INTERRUPTING for code in (-number, 128 + number)}
    # Many programs catch the signal and leave with a code of their own.
    return "interrupted" if exit_code in interrupted or received & _INTERRUPTING else "failed"


def _end_like(exit_code: int) -> NoReturn:
    """End this process by the same exit code or signal."""
    if exit_code < 0:
        # The command has left its core file; another one of this process would only hide it.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -exit_code != signal.SIGKILL:
            signal.signal(-exit_code, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {-exit_code})
        os.kill(os.getpid(), -exit_code)
    # Also for process 1 of a container, which signals do not end.
    sys.exit(exit_code if exit_code >= 0 else 128 - exit_code)


class _Child:
    """The command's process, and the signals on the way to it.

    Attributes:
        received: signals that were sent to this process while it waited.
    """

    def __init__(self, pid: int, taken: set[signal.Signals], mask: set[signal.Signals]) -> None:
        self.received: set[int] = set()
        self._pid = pid
        self._taken = taken
        self._mask = mask

    @classmethod
    def start(cls, command: Sequence[str], environ: Mapping[str, str]) -> "_Child":
        """Start the command with the signals and files that this process was started with.

        Raises:
            CommandError: it cannot be.
        """
        taken = {*_PASSED_ON, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Ignored, it would leave no exit code.
        mask = {
            signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, taken)
        }
        try:
            return cls(_spawn(command, environ, mask), taken, mask)
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if isinstance(error, FileNotFoundError):
                raise CommandError(f"{command[0]}: command not found", NOT_FOUND) from error
            raise CommandError(f"{command[0]}: {error.strerror}", NOT_EXECUTABLE) from error

    def wait(self) -> int:
        """Pass signals on until the command has ended; return its exit code, or minus a signal."""
        while True:
            number, is_meant_for_us_alone = _next_signal(self._taken, self._pid)
            if number == signal.SIGCHLD:
                exit_code = self._look()
                if exit_code is not None:
                    return exit_code
            else:
                self.received.add(number)
                if is_meant_for_us_alone:
                    os.kill(self._pid, number)

    def give_signals_back(self) -> None:
        """Let signals end this process again."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _look(self) -> int | None:
        """Return how the command ended, if it has; where the terminal stopped it, stop too."""
        pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None  # A child of another thread's.
        if os.WIFSTOPPED(status):
            if os.WSTOPSIG(status) in _STOPPING:
                os.kill(os.getpid(), signal.SIGSTOP)  # For the shell to see that the job stands.
            return None
        return os.waitstatus_to_exitcode(status)


def _spawn(command: Sequence[str], environ: Mapping[str, str], mask: set[signal.Signals]) -> int:
    # What Python ignores from its start on is nothing that the command has asked for.
    ignored = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(
            command[0], list(command), environ, setsigmask=mask, setsigdef=ignored
        )
    except OSError as error:
        script = shutil.which(command[0])
        if error.errno != errno.ENOEXEC or script is None:
            raise
    # A script without a first line that says whose it is: the shell's, as execvp(3) has it.
    arguments = ["/bin/sh", script, *command[1:]]
    return os.posix_spawn("/bin/sh", arguments, environ, setsigmask=mask, setsigdef=ignored)


def _next_signal(taken: set[signal.Signals], child: int) -> tuple[int, bool]:
    """Wait for a signal; return it, and whether it was sent to this process alone.

    The kernel sends those of the terminal to the whole process group, the command's process too.
    What a command sends to its own group it has as well. A `kill` of the group by somebody else
    looks like one of this process, and reaches the command twice.
    """
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(taken)
        return info.si_signo, info.si_code <= 0 and info.si_pid != child
    number = signal.sigwait(taken)  # macOS does not tell where a signal comes from.
    return number, not (number in _OF_TERMINAL and os.isatty(0))
