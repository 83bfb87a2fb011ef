"""What a search is asked for: from a YAML file, from flags, or from both."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from carbon.errors import UsageError, first_wrong
from carbon.schema import Strategy
from carbon.schema.fields import Name
from carbon.study.spec import read_document as read_yaml
from carbon.study.strategies import STARTS, shared
from carbon.study.tasks import unknown
from carbon.tuning.space import (
    Domain,
    Value,
    check_parameters,
    domain_from_text,
)

CHANGEABLE = frozenset({"trials", "parallel", "final"})
"""What a search that is resumed may have different from before."""

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

OF_TRIAL = ("trial", "epochs", "seed")
"""Placeholders that a command may have beside the parameters."""


class TuneSpec(BaseModel):
    """One search. Every field is a key of the YAML file and a flag of `carbon study tune`.

    Attributes:
        name: of the study that the trials' runs are in.
        command: with placeholders, `{learning_rate}`; without one the project's trainers train
            `task`.
        space: of each parameter, the text of its domain.
        grace_epochs: how many epochs every trial has.
        reduction: of so many trials that reach a rung one goes on to the next; eta in the paper.
        max_epochs: how many epochs a trial has that is never stopped.
        first: configurations that are tried before any is drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    project: Name | None = None
    task: Name | None = None
    size: Name | None = None
    strategy: Strategy = "single"
    workers_per_trial: Annotated[int, Field(ge=1, le=10_000)] = 1
    command: tuple[str, ...] = ()
    space: Annotated[dict[str, str], Field(min_length=1)]
    metric: Name = "loss"
    mode: Literal["min", "max"] = "min"
    trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    parallel: Annotated[int, Field(ge=1, le=1000)] = 1
    grace_epochs: Annotated[int, Field(ge=1)] = 1
    reduction: Annotated[int, Field(ge=2, le=100)] = 3
    max_epochs: Annotated[int, Field(ge=1, le=20_000)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    backend: Literal["optuna", "ray"] = "optuna"
    baseline: dict[str, Value] | None = None
    first: tuple[dict[str, Value], ...] = ()
    final: bool = False

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """The space, read."""
        return {name: domain_from_text(name, text) for name, text in self.space.items()}

    @property
    def project_name(self) -> str:
        """What the runs belong to; of the trainers by default the task's name."""
        return self.project or self.task or self.name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in self.space:
            if not _PARAMETER.fullmatch(name) or name in OF_TRIAL:
                raise UsageError(f"--space {name}: this cannot be the name of a parameter")
        domains = self.domains  # A wrong one is found before the search has begun.
        if bool(self.task) == bool(self.command):
            raise UsageError("give what to train: --task TASK, or a command after `--`")
        if self.grace_epochs > self.max_epochs:
            raise UsageError(
                f"--grace-epochs {self.grace_epochs}: more than the --max-epochs {self.max_epochs}"
            )
        if self.task and (reason := unknown(self.task)):
            raise UsageError(f"--task: {reason}")
        if self.task and self.strategy not in STARTS:
            raise UsageError(f"--strategy {self.strategy}: is for a command, not for a task")
        if self.workers_per_trial > 1 and self.strategy == "single" and self.task:
            raise UsageError(
                f"--workers-per-trial {self.workers_per_trial}: `single` has one worker; give "
                f"--strategy as one of {', '.join(shared())}"
            )
        if self.baseline is not None:
            check_parameters("baseline", self.baseline, domains, within=False)
        for parameters in self.first:
            check_parameters("first", parameters, domains, within=True)
        if len(self.first) > self.trials:
            raise UsageError(f"--first: {len(self.first)} configurations, but --trials is less")
        if self.command:
            _check_placeholders(self.command, domains)
        return self


def spec_from(given: Mapping[str, Any]) -> TuneSpec:
    """Make a spec of what was given, by the names of its fields.

    Raises:
        UsageError: names the option, its value and what is wrong.
    """
    if "name" not in given:
        raise UsageError("--name is missing: the study that the trials' runs are to be in")
    if not given.get("space"):
        raise UsageError(
            "--space is missing: give --space learning_rate=log:1e-4:1e-1 and the like"
        )
    try:
        return TuneSpec.model_validate(dict(given))
    except ValidationError as error:
        field, message, value = first_wrong(error)
        option = "--" + field.partition(".")[0].replace("_", "-")
        raise UsageError(f"{option} {value!r}: {message}") from error


def read_document(path: Path) -> dict[str, Any]:
    """Read what a file says of a search; `learning-rate` and `learning_rate` are the same key.

    Raises:
        UsageError: it cannot be read, or says what is no part of a search; names the file.
    """
    said = {str(key).replace("-", "_"): value for key, value in read_yaml(path).items()}
    unknown = [key for key in said if key not in TuneSpec.model_fields]
    if unknown:
        known = ", ".join(TuneSpec.model_fields)
        raise UsageError(f"{path}: {unknown[0]!r} is none of the keys {known}")
    if isinstance(said.get("command"), str):
        import shlex

        said["command"] = shlex.split(said["command"])
    return said


def placeholders(command: tuple[str, ...]) -> list[str]:
    """Return the names in braces, in the order of the command."""
    return [name for word in command for name in re.findall(r"\{(\w+)\}", word)]


def _check_placeholders(command: tuple[str, ...], space: Mapping[str, Domain]) -> None:
    named = placeholders(command)
    for name in named:
        if name not in space and name not in OF_TRIAL:
            raise UsageError(
                f"{{{name}}} in the command: no parameter of the space {', '.join(space)}"
            )
    for name in space:
        if name not in named:
            raise UsageError(f"--space {name}: the command has no {{{name}}} for it")
