"""Random search with ASHA on Ray Tune: a cluster's machines take the trials, or this one.

ASHA as in `ray.tune.schedulers.ASHAScheduler`: a trial that reaches a rung is stopped where it is
worse than the best 1 / `reduction` of those that were there before it, without a pause. A search
that is gone on with keeps the trials that have ended, but begins with empty rungs.

On a cluster of several machines the search's folder has to be on a file system that all of them
share.
"""

import os
import signal
import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import BasicVariantGenerator

from carbon import local_ray
from carbon.tuning.journal import Trial
from carbon.tuning.running import GRACE_S, POLL_S
from carbon.tuning.search import Search, clear_up
from carbon.tuning.space import Domain, Parameters
from carbon.tuning.spec import TuneSpec

METRIC, EPOCH, TRIAL = "metric", "epoch", "trial"
"""What Ray knows a search's figures by, whatever they are called."""


def search(search: Search) -> None:
    """Run the trials that are still to be run, `parallel` at a time.

    Raises:
        KeyboardInterrupt: the search was ended.
    """
    spec = search.spec
    is_ours = not ray.is_initialized()
    before = signal.getsignal(signal.SIGTERM)
    if is_ours:
        _connect(spec)
    try:
        _tuner(search).fit()
        _await_ends(search)
    except KeyboardInterrupt:
        ray.shutdown()  # Trials end with the processes that look after them.
        clear_up(search, "the search was ended")
        raise
    finally:
        if is_ours:
            ray.shutdown()
            signal.signal(signal.SIGTERM, before)  # Ray leaves a handler of its own behind.


def _connect(spec: TuneSpec) -> None:
    """Join the cluster at RAY_ADDRESS, or start one for this process alone."""
    # It is all in the table, and in the journal.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Ctrl-C ends the search here: to Ray it would be one more decision to stop its trials.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # As many cores as trials ask for: how many run at a time is the user's to say.
    local_ray.start_or_join(spec.parallel * spec.workers_per_trial)


def _tuner(search: Search) -> tune.Tuner:
    spec = search.spec
    domains = {name: _domain(domain) for name, domain in spec.domains.items()}
    configurations = [
        {**parameters, TRIAL: str(number)}
        for number, parameters in drawn(spec, search.pending()).items()
    ]
    trainable = tune.with_parameters(_Trainable, search=replace(search, show=_show_nothing))
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": spec.workers_per_trial}),
        param_space={**domains, TRIAL: tune.choice([one[TRIAL] for one in configurations])},
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode=spec.mode,
            num_samples=len(configurations),
            reuse_actors=True,
            search_alg=BasicVariantGenerator(
                points_to_evaluate=configurations, max_concurrent=spec.parallel
            ),
            scheduler=ASHAScheduler(
                time_attr=EPOCH,
                max_t=spec.max_epochs,
                grace_period=spec.grace_epochs,
                reduction_factor=spec.reduction,
            ),
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(search.directory),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Watcher(search)],
        ),
    )


def drawn(spec: TuneSpec, numbers: Sequence[int]) -> dict[int, Parameters]:
    """Return the parameters of trials by their numbers, as `search` draws them."""
    domains = {name: _domain(domain) for name, domain in spec.domains.items()}
    return {number: _parameters(spec, domains, number) for number in numbers}


def _domain(domain: Domain) -> Any:
    match domain.kind:
        case "choice":
            return tune.choice(list(domain.choices))
        case "log":
            return tune.loguniform(domain.low, domain.high)
        case "float":
            return tune.uniform(domain.low, domain.high)
        case "logint":
            return tune.lograndint(int(domain.low), int(domain.high) + 1)
        case "int":
            return tune.randint(int(domain.low), int(domain.high) + 1)


def _parameters(spec: TuneSpec, domains: dict[str, Any], number: int) -> dict[str, Any]:
    """Draw a trial's parameters, which follow from the seed and its number alone."""
    if number < len(spec.first):
        return dict(spec.first[number])
    drawn = {}
    for name, domain in domains.items():
        seed = zlib.crc32(f"{spec.seed}/{number}/{name}".encode())
        value = domain.sample(random_state=seed)
        drawn[name] = value.item() if hasattr(value, "item") else value
    return drawn


class _Trainable(tune.Trainable):
    """One trial in a process of Ray's: a step of it is an epoch of the training."""

    def setup(self, config: dict[str, Any], **search: Any) -> None:
        self._search: Search = search["search"]
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial: a new process of Ray's takes seconds to start."""
        self._finish()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        parameters = {name: config[name] for name in self._search.spec.space}
        self._spec = self._search.spec
        self._epoch = 0
        self._is_finished = False
        self._news: deque[tuple[int, float | None]] = deque()
        self._trial = self._search.start(config[TRIAL], parameters)

    def step(self) -> dict[str, Any]:
        while not self._news:
            has_ended = self._trial.has_ended  # Asked first: nothing is written after it.
            self._news.extend(self._trial.poll())
            if has_ended and not self._news:
                self._finish()
                # Of an epoch before all rungs: it has nothing to say to them.
                return {METRIC: self._worst, EPOCH: 0, "done": True}
            if not self._news:
                time.sleep(self._search.poll_s)
        self._epoch, value = self._news.popleft()
        if value is None:
            has_diverged = self._spec.grace_epochs <= self._epoch < self._spec.max_epochs
            if has_diverged:
                self._trial.stop("stopped", "diverged")
            return {METRIC: self._worst, EPOCH: 0, "done": has_diverged}
        return {METRIC: value, EPOCH: self._epoch}

    def cleanup(self) -> None:
        """Called once Ray has decided that this is the end of it."""
        self._finish()

    @property
    def _worst(self) -> float:
        return float("inf") if self._spec.mode == "min" else float("-inf")

    def _finish(self) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if not self._trial.has_ended and self._epoch < self._spec.max_epochs:
            self._trial.stop("stopped", "asha")
        while not self._trial.has_ended:
            time.sleep(self._search.poll_s)
        self._trial.poll()
        self._trial.finish()


def _show_nothing(trials: list[Trial]) -> None:
    """Trials are shown by the process that has the terminal."""


class _Watcher(tune.Callback):
    """Shows the trials while Ray runs them."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._shown_s = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # Ray keeps a copy of what it runs on disk, where a terminal has no place.
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._shown_s > POLL_S:
            self._shown_s = time.monotonic()
            self._search.update()


def _await_ends(search: Search) -> None:
    """Wait for trials that Ray has let go of while they end."""
    give_up_s = time.monotonic() + 2 * GRACE_S
    while any(trial.status == "running" for trial in search.journal.trials()):
        if time.monotonic() > give_up_s:
            break
        time.sleep(POLL_S)
