"""The command of a trial: what is trained, within a `carbon run` that tells what the trial is."""

import json
import re
import sys
from collections.abc import Mapping

from carbon.study.commands import training
from carbon.tuning.space import Value
from carbon.tuning.spec import TuneSpec


def trial_command(spec: TuneSpec, name: str, parameters: Mapping[str, Value]) -> list[str]:
    """Return the command of one trial.

    The ledger alone has to tell what a run of the study was tried for: which parameters were
    searched and by which metric stands in its config, beside the parameters.
    """
    told: dict[str, Value] = {
        **parameters,
        "search_parameters": ",".join(parameters),
        "search_metric": spec.metric,
        "search_mode": spec.mode,
        "search_epochs": spec.max_epochs,
    }
    options = ["--project", spec.project_name, "--study", spec.name, "--name", f"trial-{name}"]
    options += ["--tag", f"trial={name}"]
    for key, value in told.items():
        options += ["--config", f"{key}={_text(value)}"]
    known = {**parameters, "trial": name, "epochs": spec.max_epochs, "seed": spec.seed}
    command = [_filled(word, known) for word in spec.command or _trainers(spec)]
    return [sys.executable, "-m", "carbon", "run", *options, "--", *command]


def _trainers(spec: TuneSpec) -> list[str]:
    """Return the trainers' command for the task, with placeholders."""
    options = ["--task", str(spec.task), "--epochs", "{epochs}"]
    if spec.size is not None:
        options += ["--size", spec.size]
    if "seed" not in spec.space:
        options += ["--seed", "{seed}"]
    for parameter in spec.space:
        options += [f"--{parameter.replace('_', '-')}", f"{{{parameter}}}"]
    options += ["--project", spec.project_name, "--study", spec.name]
    return training(spec.strategy, spec.workers_per_trial, options)


def _filled(word: str, known: Mapping[str, Value]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: _text(known[found[1]]), word)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
