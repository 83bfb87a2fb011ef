"""Random search with ASHA on Optuna, in one process and one thread.

ASHA: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
https://arxiv.org/abs/1810.05934. Optuna's `SuccessiveHalvingPruner` is its variant that promotes a
trial at once or stops it for good; trials are not paused. So that one goes on at all, the best one
so far does while fewer than `reduction` have reached a rung.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carbon.tuning.journal import Trial
from carbon.tuning.running import RunningTrial
from carbon.tuning.search import Search, interrupt
from carbon.tuning.space import Domain, Parameters
from carbon.tuning.spec import TuneSpec

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class _Running:
    number: int
    asked: "optuna.Trial"
    trial: RunningTrial


def search(search: Search) -> None:
    """Run the trials that are still to be run, `parallel` at a time."""
    study = _study(search.spec)
    for name, finished in search.finished().items():
        if name.isdecimal():
            _replay(search.spec, study, finished)
    pending = search.pending()
    running: list[_Running] = []
    try:
        while pending or running:
            while pending and len(running) < search.spec.parallel:
                number = pending.pop(0)
                asked = _ask(search.spec, study, number)
                trial = search.start(str(number), asked.params)
                running.append(_Running(number, asked, trial))
            for one in list(running):
                if _look_after(search.spec, study, one):
                    running.remove(one)
            search.update()
            time.sleep(search.poll_s)
    except BaseException:
        interrupt([one.trial for one in running])
        raise


def drawn(spec: TuneSpec, numbers: Sequence[int]) -> dict[int, Parameters]:
    """Return the parameters of trials by their numbers, as `search` draws them."""
    study = _study(spec)
    return {number: _ask(spec, study, number).params for number in numbers}


def _study(spec: TuneSpec) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # What there is to say stands in the table.
    return optuna.create_study(
        direction="minimize" if spec.mode == "min" else "maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=spec.grace_epochs, reduction_factor=spec.reduction
        ),
    )


def _ask(spec: TuneSpec, study: "optuna.Study", number: int) -> "optuna.Trial":
    """Draw a trial's parameters, which follow from the seed and its number alone."""
    import optuna

    seed = zlib.crc32(f"{spec.seed}/{number}".encode())
    study.sampler = optuna.samplers.RandomSampler(seed=seed)
    if number < len(spec.first):
        study.enqueue_trial(dict(spec.first[number]))
    return study.ask({name: _distribution(domain) for name, domain in spec.domains.items()})


def _distribution(domain: Domain) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if domain.kind == "choice":
        return distributions.CategoricalDistribution(domain.choices)
    if domain.is_whole:
        return distributions.IntDistribution(
            int(domain.low), int(domain.high), log=domain.is_logarithmic
        )
    return distributions.FloatDistribution(domain.low, domain.high, log=domain.is_logarithmic)


def _replay(spec: TuneSpec, study: "optuna.Study", trial: Trial) -> None:
    """Tell a new study of a trial that has ended: what it reached at each rung counts."""
    study.enqueue_trial(dict(trial.parameters))
    asked = study.ask({name: _distribution(domain) for name, domain in spec.domains.items()})
    for epoch, value in trial.values.items():
        if value is not None:
            asked.report(value, epoch)
            asked.should_prune()  # It notes the rung; the decision has been taken.
    _tell(study, asked, trial.status, trial.last_value)


def _look_after(spec: TuneSpec, study: "optuna.Study", one: _Running) -> bool:
    """Hear of a trial's epochs and decide; return whether it has ended."""
    trial = one.trial
    has_ended = trial.has_ended  # Asked first: nothing is written after it.
    last: float | None = None
    for epoch, value in trial.poll():
        last = value
        if trial.is_stopping:
            continue
        if value is not None:
            one.asked.report(value, epoch)
        if epoch >= spec.max_epochs:
            continue
        if value is None:
            if epoch >= spec.grace_epochs:
                trial.stop("stopped", "diverged")
        elif one.asked.should_prune():
            trial.stop("stopped", "asha")
    if has_ended:
        _tell(study, one.asked, trial.finish(), last)
    return has_ended


def _tell(study: "optuna.Study", asked: "optuna.Trial", status: str, last: float | None) -> None:
    from optuna.trial import TrialState

    if status == "stopped":
        study.tell(asked, state=TrialState.PRUNED)
    elif status == "completed" and last is not None:
        study.tell(asked, last)
    else:
        study.tell(asked, state=TrialState.FAIL)
