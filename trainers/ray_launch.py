"""Starting the workers of a training with Ray Train, on this machine or in a cluster.

Written for Ray Train's second version, https://docs.ray.io/en/latest/train/api/api.html.
"""

import contextlib
import importlib
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from carbon import local_ray, processes
from carbon.attribution.run_id import VARIABLE as RUN_ID
from carbon.attribution.run_id import given_run_id, new_run_id
from carbon.errors import CarbonError
from carbon.tracking.tracker import await_deliveries

ROOT = Path(__file__).parent.parent

# Read by Ray where it is imported, or by Ray Train where a training begins; what is set wins.
_SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # A relative path is the driver's.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # It would write each line once more, to Ray's log.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # How late it notices that all have ended.
    # A worker imports PyTorch first, which a busy machine or a network's file system makes long.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}

TAIL_LINES = 20
SHOW_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Work:
    """What every worker is to call, in which folder, and where to put what it writes.

    Attributes:
        said: a `ray.util.queue.Queue` of (whether it is for the standard error, text).
    """

    module: str
    function: str
    arguments: tuple[str, ...]
    folder: str
    said: Any


class WorkersError(CarbonError):
    """A worker failed, or Ray could not start them; shows the end of what Ray says of it."""


def on_workers(module: str, function: str, arguments: Sequence[str], n_workers: int) -> Any:
    """Call `module.function(arguments)` on `n_workers` workers; return what rank 0's returned.

    They are one run to the ledger. They are in the cluster at RAY_ADDRESS where that is set, else
    on this machine, where nothing of Ray stays behind. SIGINT and SIGTERM end them with exit code
    130 and 143.

    Raises:
        CarbonError: the one that a worker raised; or Ray is not installed.
        WorkersError: a worker ended in another way, or they could not be started.
    """
    processes.require("ray", "ray")
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    local_ray.settle()
    import ray

    try:
        _connect(n_workers)
        from ray.util.queue import Queue

        said = Queue(actor_options={"num_cpus": 0})
        work = Work(module, function, tuple(arguments), os.getcwd(), said)
        with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="carbon-ray-") as folder:
            return _showing(said, lambda: _fit(work, n_workers, folder))
    finally:
        ray.shutdown()


def _connect(n_workers: int) -> None:
    """Join the cluster at RAY_ADDRESS, or start one on this machine that ends with this process."""
    try:
        local_ray.start_or_join(  # A core each, whatever the machine has; a study may want more.
            n_workers, runtime_env={"env_vars": _worker_environ(os.environ)}
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = local_ray.address()
        if not where:
            raise WorkersError(f"Ray cannot be started here: {_first_line(error)}") from error
        raise WorkersError(
            f"there is no Ray cluster at RAY_ADDRESS {where!r} that lets this process in: "
            f"{_first_line(error)}; one that wants a token needs RAY_AUTH_MODE=token here too"
        ) from error


def _worker_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what workers need of this process's variables, on whichever node they are."""
    said = {name: value for name, value in environ.items() if name.startswith("CARBON_")}
    # Nodes cannot tell by themselves that they have a run in common.
    said[RUN_ID] = str(given_run_id(environ) or new_run_id())
    paths = [str(ROOT), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return said | {"PYTHONPATH": os.pathsep.join(paths)}


def _fit(work: Work, n_workers: int, folder: str) -> Any:
    from ray.train.torch import TorchConfig, TorchTrainer

    train: Any = importlib.import_module("ray.train")  # Its annotations are of its first version.
    use_gpu = torch.cuda.is_available()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"work": work},
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=train.ScalingConfig(num_workers=n_workers, use_gpu=use_gpu),
        run_config=train.RunConfig(
            storage_path=folder,
            failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
            logging_config=train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        result: Any = trainer.fit()
        return result.return_value
    except train.WorkerGroupError as error:
        raise _explained(error.worker_failures, str(error)) from error
    except train.TrainingFailedError as error:
        raise WorkersError(f"Ray Train gave up: {error}") from error


def _worker(config: dict[str, Work]) -> Any:
    """Do this worker's part, where and as the one who started it would."""
    work = config["work"]
    with contextlib.suppress(OSError):  # Another node need not have that folder.
        os.chdir(work.folder)
    call = getattr(importlib.import_module(work.module), work.function)
    with (
        contextlib.redirect_stdout(_Relay(work.said, is_error=False)),
        contextlib.redirect_stderr(_Relay(work.said, is_error=True)),
    ):
        try:
            return call(work.arguments)
        finally:
            await_deliveries()  # Ray kills its workers, without what is registered at exit.


class _Relay(io.TextIOBase):
    """Sends whole lines to the process that started the workers.

    Ray would do that too, with a prefix to each line, among lines of its own processes, and not for
    certain with the last ones.
    """

    def __init__(self, said: Any, *, is_error: bool) -> None:
        self._said = said
        self._is_error = is_error
        self._line = ""

    def write(self, text: str) -> int:
        whole, newline, self._line = (self._line + text).rpartition("\n")
        if newline:
            self._said.put((self._is_error, whole + newline))
        return len(text)


def _explained(failures: Mapping[int, Exception], said: str) -> CarbonError:
    """Return the error to raise for what workers raised, by rank; `said` is Ray Train's account."""
    causes: dict[int, Exception] = {
        rank: getattr(error, "_base_exc", error) for rank, error in failures.items()
    }
    # Whoever has lost the others says so in a RuntimeError, and is not the one to look at.
    first = min(causes, key=lambda rank: (isinstance(causes[rank], RuntimeError), rank))
    cause = causes[first]
    if isinstance(cause, CarbonError):
        return cause
    tail = "\n".join(said.strip().splitlines()[-TAIL_LINES:])
    return WorkersError(
        f"worker {first} failed: {type(cause).__name__}: {_first_line(cause)}; "
        f"the end of what Ray says:\n{tail}"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _showing(said: Any, call: Callable[[], Any]) -> Any:
    """Return what `call` returns, writing here meanwhile what workers write.

    In a thread, because Ray Train takes over the signals of a main thread that it runs in, and in a
    daemon, so that a process that is told to end need not wait for it.
    """
    from ray.util.queue import Empty

    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001, raised again below
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        is_last = done.done()  # What was said before that is in the queue.
        with contextlib.suppress(Empty):
            while True:
                # No wait without an end: it would leave a signal's handler no moment.
                is_error, text = said.get(block=not is_last, timeout=SHOW_INTERVAL_S)
                print(text, end="", file=sys.stderr if is_error else sys.stdout, flush=True)
        if is_last:
            return done.result()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
