"""`carbon.track`: the context manager around a training."""

import atexit
import contextlib
import functools
import inspect
import logging
import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from uuid import UUID

from pydantic import ValidationError

from carbon.attribution import run_id as given_id
from carbon.attribution import topology
from carbon.attribution.naming import name_run
from carbon.errors import SettingsError, UsageError, first_wrong
from carbon.schema import RunReport, RunSpec, Status, StepProfile, Strategy
from carbon.settings import Settings, load
from carbon.spool.merge import MAX_EPOCHS
from carbon.spool.part import Started
from carbon.tracking import clocks
from carbon.tracking.metering import Sources, machine_sources
from carbon.tracking.plain import MetricNames, plain
from carbon.tracking.recorder import Recorder

log = logging.getLogger("carbon")

T = TypeVar("T")
P = ParamSpec("P")

WRITE_WAIT_S = 1.0
"""How long leaving the context waits at most for the last sample to be on disk."""

REPORT_WAIT_S = 10.0
"""How long `run.report` waits at most for the parts of the run to be merged."""

EXIT_WAIT_S = 5.0
"""How long the end of the process waits at most, for all runs together, for their delivery."""

UNKEPT_WAIT_S = 15.0
"""The same where the spool cannot be written, as on a full disk: who leaves then loses the run."""


class track:  # noqa: N801 - used like a function
    """Measure what the block or function below it costs, and report it as one run.

        with carbon.track("digits", strategy="ddp", study="scaling-1") as run:
            for epoch in run.epochs(range(10)):
                run.log(loss=train_one_epoch())

        @carbon.track("digits")
        def train(): ...

    Used as a decorator, every call is a run of its own, of coroutine functions too. Under torchrun,
    Slurm, MPI and the like, every process enters `track` and together they make one run. Under
    `carbon run`, and wherever CARBON_RUN_ID is set, everything tracked is part of that one run.

    Args:
        project: what the run belongs to.
        strategy: how the training is distributed. Not given, it is `single` for a process alone
            and unknown for several.
        study: groups runs that are meant to be compared.
        name: the run's own name.
        tags: short texts to find the run by.
        config: what the training was configured with: batch size, learning rate, model ...
        resumed_from: the id of the run from whose checkpoint this one goes on; see `Run.epochs`.
        settings: overrides what `carbon.settings.load` reads.
        sources: where meters come from; the machine's by default.

    Raises:
        UsageError: an argument that cannot be used, before training begins.
        SettingsError: a setting that cannot be used, likewise. Nothing is raised after that.
    """

    def __init__(
        self,
        project: str,
        *,
        strategy: Strategy | None = None,
        study: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, str | int | float | bool | None] | None = None,
        resumed_from: UUID | str | None = None,
        settings: Settings | None = None,
        sources: Sources | None = None,
    ) -> None:
        try:
            self._spec = RunSpec.model_validate(
                {
                    "project": project,
                    "strategy": strategy,
                    "study": study,
                    "name": name,
                    "tags": {} if tags is None else tags,
                    "config": {} if config is None else plain(config),
                    "resumed_from": resumed_from,
                }
            )
        except ValidationError as error:
            raise UsageError(_why(error)) from error
        self._settings = settings
        self._sources = sources
        self._run: Run | None = None

    def __enter__(self) -> "Run":
        if self._run is not None:
            raise UsageError("this carbon.track is in use; make another one for a nested run")
        self._run = Run(self._spec, self._settings or load(), self._sources)
        return self._run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.end(_status_of(error))

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Track every call of `function` as a run.

        Raises:
            UsageError: what is decorated is no function, or one whose call only makes a generator.
        """
        if not callable(function):
            raise UsageError(f"carbon.track: {function!r} cannot be called; decorate a function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(
                f"carbon.track: calling {function.__qualname__} only makes a generator; put "
                "`with carbon.track(...)` inside of it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return tracked_coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._again():
                return function(*args, **kwargs)

        return tracked

    def _again(self) -> Self:
        again = object.__new__(type(self))
        again._spec, again._settings, again._sources = self._spec, self._settings, self._sources
        again._run = None
        return again


@dataclass
class _OpenEpoch:
    index: int
    began_s: float
    left_s: float | None = None
    """When its loop was left early; what is logged later belongs to the run."""
    metrics: dict[str, float | None] = field(default_factory=dict)


class Run:
    """A run while it is tracked, and its report afterwards. Made by `carbon.track`."""

    def __init__(self, spec: RunSpec, settings: Settings, sources: Sources | None) -> None:
        place = topology.detect(os.environ)
        if spec.strategy is None and place.world_size == 1:
            spec = spec.model_copy(update={"strategy": "single"})
        run_id, find_run_id = _named(spec, place)
        self._owner_pid = os.getpid()
        self._rank = place.rank
        self._epoch: _OpenEpoch | None = None
        self._epochs_begun = 0
        self._names = MetricNames()
        self._ended = False
        said = spec.model_dump(mode="json")
        sources = sources or machine_sources(settings)
        # What came before is the tracker's own time, and not the block's.
        self._began_s, began_at = clocks.now()
        started = Started(
            run_id=str(run_id),
            started_at=began_at.isoformat(),
            spec=said,
            hostname=place.hostname,
            pid=self._owner_pid,
            rank=place.rank,
            world_size=place.world_size,
            n_nodes=place.n_nodes,
            attempt=place.attempt,
            began_s=self._began_s,
        )
        self._recorder = Recorder(started, self._began_s, settings, place, sources, find_run_id)
        _await_at_exit(self._recorder)
        self._recorder.start()

    @property
    def run_id(self) -> UUID:
        """A UUID of version 7, the same in all processes of the run.

        Where nodes have yet to agree on it, this waits for them, a second or two at most.
        """
        return self._recorder.run_id

    def epochs(self, items: Iterable[T], *, start: int = 0) -> Iterator[T]:
        """Go through `items`, usually epoch numbers, and measure each round as one epoch.

        The report numbers them from 0 in the first loop, and on from there in the next. A training
        that goes on from a checkpoint begins at `start`, as many as were trained before it, so
        that no epoch of it counts twice: `run.epochs(range(3, 10), start=3)`.

        An epoch left by `break` counts; one left by an exception that ends the run does not. Epochs
        do not nest: a loop begun inside of one ends it.
        """
        self._epochs_begun = max(self._epochs_begun, start)
        for item in items:
            self._close_epoch()
            epoch = self._epoch = _OpenEpoch(self._epochs_begun, time.monotonic())
            self._epochs_begun += 1
            self._begin(epoch)
            try:
                yield item
            except GeneratorExit:
                # `break` and an exception in the loop's body look the same from here; which it
                # was shows when the run goes on or ends.
                epoch.left_s = time.monotonic()
                raise
            if self._epoch is epoch:
                self._close_epoch()

    def log(self, /, **metrics: float) -> None:
        """Record metrics: in `epochs`, of the current epoch; elsewhere, of the run.

        A value that is not finite is recorded as unknown; what is no number, or has a name that a
        report cannot hold, is left out with a warning.
        """
        values: dict[str, float | None] = {}
        for given, value in metrics.items():
            name = self._names.take(given)
            if name is None:
                continue
            try:
                number = float(value)
            except Exception as error:  # noqa: BLE001 - a value may be of any library's type
                kind = type(value).__name__
                log.warning("run.log: %s (%s) is not a number, left out: %s", name, kind, error)
                continue
            values[name] = number if math.isfinite(number) else None
        if self._epoch is not None and self._epoch.left_s is None:
            self._epoch.metrics.update(values)
        elif values and self._is_ours():
            self._recorder.logged(values)

    def profile(
        self,
        *,
        steps: int,
        duration_s: float,
        compute_s: float,
        exposed_communication_s: float,
        overlapped_communication_s: float,
        idle_s: float,
    ) -> None:
        """Record where the time of some steps of this process went; see `schema.StepProfile`.

        What is no such division of `duration_s` is left out with a warning. The last one counts.
        """
        try:
            profile = StepProfile(
                rank=self._rank,
                steps=steps,
                duration_s=duration_s,
                compute_s=compute_s,
                exposed_communication_s=exposed_communication_s,
                overlapped_communication_s=overlapped_communication_s,
                idle_s=idle_s,
            )
        except ValidationError as error:
            log.warning("run.profile: left out: %s", _why(error))
            return
        if not self._ended and self._is_ours():
            self._recorder.profiled(profile)

    @property
    def report(self) -> RunReport:
        """The run's report: final after the block, and what is known so far inside it.

        Of a run of several processes, it holds what all of them on this node have reported so far.
        """
        if self._ended:
            self._recorder.settled.wait(REPORT_WAIT_S)
        return self._recorder.report()

    def end(self, status: Status) -> None:
        """End the run now. Leaving the block does this."""
        if self._ended or not self._is_ours():
            return
        at_s = time.monotonic()
        if status in ("completed", "interrupted"):
            self._close_epoch()
        self._ended = True
        self._recorder.stop(status, at_s)
        self._recorder.written.wait(WRITE_WAIT_S)

    def _begin(self, epoch: _OpenEpoch) -> None:
        if not self._ended and self._is_ours():
            self._recorder.epoch_began(epoch.index, epoch.began_s)

    def _close_epoch(self) -> None:
        epoch, self._epoch = self._epoch, None
        if epoch is None or self._ended or not self._is_ours():
            return
        if epoch.index == MAX_EPOCHS:
            log.warning("run %s: epochs from number %d on are not listed", self.run_id, MAX_EPOCHS)
        ended_s = time.monotonic() if epoch.left_s is None else epoch.left_s
        if epoch.index < MAX_EPOCHS:
            self._recorder.epoch_ended(epoch.index, epoch.began_s, ended_s, epoch.metrics)
        elif epoch.metrics:
            self._recorder.logged(epoch.metrics)

    def _is_ours(self) -> bool:
        """A forked child holds a copy of its parent's run and must not report for it."""
        return os.getpid() == self._owner_pid


def _named(spec: RunSpec, place: topology.Topology) -> tuple[UUID, Callable[[], UUID] | None]:
    """Name the run; an id that was given and is none must not stop the training."""
    try:
        return name_run(spec, place, os.environ)
    except SettingsError as error:
        log.warning("%s. This is tracked as a run of its own", error)
        others = {key: value for key, value in os.environ.items() if key != given_id.VARIABLE}
        return name_run(spec, place, others)


def _status_of(error: BaseException | None) -> Status:
    match error:
        case None:
            return "completed"
        case SystemExit(code=None | 0) | GeneratorExit():
            return "completed"  # A generator that its consumer has had enough of.
        case KeyboardInterrupt():
            return "interrupted"
        case _:
            return "failed"


def _why(error: ValidationError) -> str:
    field, message, given = first_wrong(error)
    shown = repr(given)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"carbon.track: {field}={shown}: {message}"


def await_deliveries() -> None:
    """Give the deliveries of ended runs a bounded while at the end of the process.

    To be called by who ends otherwise than an interpreter does.
    """
    began_s = time.monotonic()
    # Who presses Ctrl-C now wants to leave, and the run waits in the spool.
    with contextlib.suppress(KeyboardInterrupt):
        for recorder in list(_undelivered):
            if recorder.is_stopping:
                wait_s = EXIT_WAIT_S if recorder.is_kept else UNKEPT_WAIT_S
                recorder.delivered.wait(max(began_s + wait_s - time.monotonic(), 0.0))


def _await_at_exit(recorder: Recorder) -> None:
    _undelivered.add(recorder)
    # A process of `multiprocessing` ends without what is registered at exit.
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, await_deliveries, exitpriority=0)


_undelivered: "weakref.WeakSet[Recorder]" = weakref.WeakSet()
atexit.register(await_deliveries)
# The runs of a forked child's parent are not the child's to wait for.
os.register_at_fork(after_in_child=_undelivered.clear)
