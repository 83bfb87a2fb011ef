"""A search from its beginning, or from where it stopped, to its end."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from carbon import local_ray
from carbon.attribution import topology
from carbon.errors import CarbonError, UsageError
from carbon.processes import require
from carbon.settings import Settings
from carbon.spool.spool import HeldFile, Spool
from carbon.tuning.figures import figures
from carbon.tuning.journal import BASELINE, FINAL, Journal, Trial
from carbon.tuning.running import POLL_S, RunningTrial, end_leftovers, hand_over
from carbon.tuning.space import Value
from carbon.tuning.spec import CHANGEABLE, TuneSpec
from carbon.tuning.trials import kept_report

Show = Callable[[list[Trial]], None]


@dataclass(frozen=True)
class Search:
    """What a backend is given.

    Attributes:
        directory: where the journal and the trials' output are, absolute.
        show: called again and again with the trials as they stand.
        working_directory: of the trials' commands.
        poll_s: how often trials are asked for news, in seconds.
    """

    spec: TuneSpec
    directory: Path
    settings: Settings
    show: Show
    working_directory: Path
    poll_s: float = POLL_S

    @property
    def journal(self) -> Journal:
        """The search's journal."""
        return Journal(self.directory)

    def start(self, name: str, parameters: Mapping[str, Value]) -> RunningTrial:
        """Start a trial."""
        return RunningTrial(
            self.spec, name, parameters, self.directory, self.settings, self.working_directory
        )

    def finished(self) -> dict[str, Trial]:
        """Return the trials that have ended by themselves or by decision, by name."""
        trials = {trial.name: trial for trial in self.journal.trials()}
        return {
            name: trial
            for name, trial in trials.items()
            if trial.status not in ("running", "interrupted")
        }

    def pending(self) -> list[int]:
        """Return the numbers of the searched trials that are still to be run."""
        finished = self.finished()
        return [number for number in range(self.spec.trials) if str(number) not in finished]

    def update(self) -> None:
        """Show the trials as they stand."""
        self.show(self.journal.trials())


def resumed(journal: Journal, given: Mapping[str, object]) -> dict[str, object]:
    """Return what a search is asked for, together with what it was asked for when it began.

    Raises:
        UsageError: something is given that is not as it was and cannot be changed.
    """
    began = journal.spec()
    if began is None:
        return dict(given)
    return {**began, **given}


def check_unchanged(journal: Journal, spec: TuneSpec) -> None:
    """Refuse to go on with another search under the name of one that has begun.

    Raises:
        UsageError: names what has changed.
    """
    began = journal.spec()
    if began is None:
        return
    for field, now in spec.model_dump(mode="json").items():
        if field not in CHANGEABLE and now != began.get(field):
            option = field.replace("_", "-")
            raise UsageError(
                f"--{option} {now}: the search in {journal.path.parent} has begun with "
                f"{began.get(field)}; give that, or another --name"
            )


def run_search(search: Search) -> list[Trial]:
    """Run a search, or the rest of it; return its trials.

    Raises:
        CarbonError: a library is missing, another process runs it, or its directory cannot be used.
        KeyboardInterrupt: it was ended; its trials are then ended too.
    """
    spec = search.spec
    backend = backend_of(spec)
    with _alone(search.directory):
        if search.journal.spec() is None:
            search.journal.begun(spec.model_dump(mode="json"))
        clear_up(search, "the search was killed")
        if spec.baseline is not None and BASELINE not in search.finished():
            _run_one(search, BASELINE, spec.baseline)
        if search.pending():
            backend.search(search)
        best = figures(search.journal.trials(), spec.mode).best
        if spec.final and best is not None and FINAL not in search.finished():
            _run_one(search, FINAL, best.parameters)
        search.update()
        return search.journal.trials()


def backend_of(spec: TuneSpec) -> ModuleType:
    """Return the module that draws the trials' parameters, `drawn`, and runs them, `search`.

    Raises:
        CarbonError: its library is missing.
    """
    if spec.backend == "ray":
        local_ray.settle()
        require("ray", "ray.tune")
        from carbon.tuning import ray_search

        return ray_search
    require("tune", "optuna")
    from carbon.tuning import optuna_search

    return optuna_search


def _run_one(search: Search, name: str, parameters: Mapping[str, Value]) -> None:
    """Run a trial that no decision of the search is about."""
    trial = search.start(name, parameters)
    try:
        while not trial.has_ended:
            trial.poll()
            search.update()
            time.sleep(search.poll_s)
    except BaseException:
        interrupt([trial])
        raise
    trial.poll()
    trial.finish()
    search.update()


def interrupt(running: list[RunningTrial]) -> None:
    """End trials because the search is ended."""
    for trial in running:
        trial.stop("interrupted", "the search was ended")
    for trial in running:
        while not trial.has_ended:
            time.sleep(0.02)
        trial.poll()
        trial.finish()


def clear_up(search: Search, why: str) -> None:
    """End what is left of trials that nobody looks after any more."""
    spool = Spool(search.settings.spool_dir)
    hostname = topology.detect(os.environ).hostname
    for trial in search.journal.trials():
        if trial.status == "running":
            end_leftovers(spool, trial.run_id, hostname)
            hand_over(search.settings, trial.run_id)
            report = kept_report(spool, trial.run_id)
            search.journal.ended(
                trial.name,
                "interrupted",
                why,
                None if report is None else report.energy_kwh,
                None if report is None else report.emissions_kg,
            )


class _alone:  # noqa: N801 - used like a function
    """Hold a search's directory: two processes that run the same search would be in the way."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            held = HeldFile.open(self._directory / "lock")
        except OSError as error:
            raise CarbonError(
                f"{self._directory} cannot be used: {error.strerror}; give another --folder"
            ) from error
        if held is None:
            raise CarbonError(f"the search in {self._directory} is run by another process")
        self._held = held

    def __exit__(self, *_: object) -> None:
        self._held.remove()
