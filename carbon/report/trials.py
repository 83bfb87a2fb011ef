"""The search of a study, where it has one: its trials, and what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass

from carbon.analysis.reaching import Mode
from carbon.schema import RunReport
from carbon.tuning.figures import Figures, figures
from carbon.tuning.journal import Trial
from carbon.tuning.trials import trials_of


@dataclass(frozen=True)
class TrialsReport:
    """A search and what it came to.

    Attributes:
        trials: in the order in which they began, with the baseline and the final training.
    """

    metric: str
    mode: Mode
    trials: Sequence[Trial]
    figures: Figures

    @property
    def parameters(self) -> list[str]:
        """The names of what was searched."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.parameters))


def is_trial(run: RunReport) -> bool:
    """Whether a run belongs to a search."""
    return bool(trials_of([run]))


def trials_report(runs: Sequence[RunReport], mode: Mode | None = None) -> TrialsReport | None:
    """Return what the search of a study came to; None where no run belongs to one."""
    own = [run for run in runs if is_trial(run)]
    if not own:
        return None
    newest = max(own, key=lambda run: run.started_at)
    mode = mode or ("max" if newest.config.get("search_mode") == "max" else "min")
    trials = trials_of(own)
    return TrialsReport(str(newest.config["search_metric"]), mode, trials, figures(trials, mode))
