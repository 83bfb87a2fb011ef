"""What a scaling study runs: read from a YAML file and a command line, checked as a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from carbon.errors import UsageError
from carbon.processes import require
from carbon.schema import Name, Strategy
from carbon.schema.fields import MAX_WORLD_SIZE
from carbon.study.strategies import shared, started_by
from carbon.study.tasks import unknown

Workers = Annotated[int, Field(ge=1, le=MAX_WORLD_SIZE)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]+$")]
_GROWS = ("strategies", "workers", "repeats")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slurm(_Section):
    """What the jobs of `--launcher slurm` ask for; None is the cluster's default."""

    partition: Line | None = None
    account: Line | None = None
    time: Line | None = None
    """The limit of one run, as sbatch(1) reads it: 30, 1:30:00 or 2-12."""
    workers_per_node: Annotated[int, Field(ge=1)] | None = None
    """None puts all workers on one node."""
    gpus_per_worker: Annotated[int, Field(ge=0)] = 0
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    exclusive: bool = True
    """Whether a job has its nodes to itself, so that others change neither times nor energies."""
    in_order: bool = True
    """Whether each job waits for the one before it; else they run as the cluster likes."""
    poll_interval_s: Annotated[float, Field(ge=0.05, le=3600)] = 10.0
    """How often the cluster is asked how far the jobs are."""
    options: list[Line] = []
    """More options of sbatch, "--constraint=a100" say."""
    setup: list[Line] = []
    """Shell lines before the command: modules, an environment."""

    @field_validator("time", mode="before")
    @classmethod
    def _is_text(cls, time: Any) -> Any:
        if isinstance(time, int | float):
            raise ValueError("put it in quotes: YAML reads 1:30:00 as a number")
        return time

    @field_validator("options")
    @classmethod
    def _are_options(cls, options: list[str]) -> list[str]:
        for option in options:
            if not option.startswith("-"):
                raise ValueError(f"{option!r} is no option of sbatch: give it with its dashes")
        return options

    def nodes(self, workers: int) -> int:
        """Return how many nodes so many workers need."""
        return -(-workers // (self.workers_per_node or workers))


class StudySpec(_Section):
    """A study: every strategy on every number of workers, several times.

    Either a `task` is trained by the trainers, or a `command` is run in whose words {workers},
    {strategy}, {repeat}, {name} and {seed} are filled in. What is None is left to the trainers.
    """

    name: Name
    project: Name
    task: Line | None = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    arguments: list[str] = []
    """More options of the trainers."""
    strategies: Annotated[list[Strategy], Field(min_length=1)]
    workers: Annotated[list[Workers], Field(min_length=1)]
    repeats: Annotated[int, Field(ge=1, le=1000)] = 3
    size: Literal["small", "medium", "large"] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    scaling: Literal["strong", "weak"] = "strong"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the order and of every training alike, so that repeats differ by the machine alone."""
    threads_per_worker: Annotated[int, Field(ge=1)] | None = None
    """OMP_NUM_THREADS of every worker; the same for all, or more workers were not more cores."""
    launcher: Literal["local", "slurm", "ray"] = "local"
    slurm: Slurm = Slurm()

    @model_validator(mode="before")
    @classmethod
    def _project_follows(cls, document: Any) -> Any:
        if isinstance(document, dict) and document.get("project") is None:
            # Without a name either, that is what is missing.
            project = document.get("task") or document.get("name") or "unnamed"
            return {**document, "project": project}
        return document

    @field_validator("name")
    @classmethod
    def _fits_a_folder(cls, name: str) -> str:
        if "/" in name or name.startswith((".", "-")) or not name.isprintable():
            raise ValueError("a folder is named by it: no slash, and no dot or dash at its front")
        return name

    @field_validator("strategies", "workers")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{value} is there twice")
        return values

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.task is None) == (self.command is None):
            raise ValueError("give either a task or a command, after `--`")
        if self.command is not None:
            self._check_command(self.command)
        elif self.task is not None and (reason := unknown(self.task)):
            raise ValueError(f"task: {reason}")
        elif "other" in self.strategies:
            raise ValueError("strategies: 'other' is for a command of your own, not for a task")
        elif self.arguments and not self.arguments[0].startswith("-"):
            raise ValueError(
                f"arguments: {self.arguments[0]!r} is no option of the trainers; a command of your "
                "own needs no --task"
            )
        if "single" in self.strategies and len(self.strategies) == 1 and 1 not in self.workers:
            raise ValueError("workers: 'single' runs with one worker, and 1 is not among them")
        if self.task is not None and self.scaling == "strong":
            self._check_batch()
        if self.launcher == "ray":
            self._check_ray()
        if self.launcher == "slurm":
            self._check_nodes()
        return self

    def _check_command(self, command: list[str]) -> None:
        if len(self.workers) > 1 and not any("{workers}" in word for word in command):
            raise ValueError("command: none of its words has {workers}, to be told how many")
        for field in ("arguments", "size", "epochs", "batch_size", "learning_rate"):
            if getattr(self, field):
                raise ValueError(f"{field}: is for a task; a command has its own")

    def _check_batch(self) -> None:
        if self.batch_size is None or not set(shared()) & set(self.strategies):
            return
        for workers in self.workers:
            if self.batch_size % workers:
                raise ValueError(
                    f"batch_size: {self.batch_size} cannot be shared evenly by {workers} workers"
                )

    def _check_ray(self) -> None:
        by_ray = started_by("ray")
        for strategy in self.strategies:
            if strategy not in by_ray:
                raise ValueError(
                    f"strategies: {strategy!r} does not run on a Ray cluster, "
                    f"{' and '.join(by_ray)} do; leave it out, or choose another launcher"
                )

    def _check_nodes(self) -> None:
        for workers in self.workers:
            nodes = self.slurm.nodes(workers)
            if nodes > 1 and workers % nodes:
                raise ValueError(
                    f"workers: {workers} cannot be divided evenly among {nodes} nodes; "
                    "slurm.workers_per_node says how many a node has"
                )
            if nodes > 1 and self.task and set(started_by("ray")) & set(self.strategies):
                raise ValueError(
                    f"strategies: Ray on {nodes} nodes needs a cluster of its own; start one, set "
                    "RAY_ADDRESS and use --launcher ray"
                )


def read_document(path: Path) -> dict[str, Any]:
    """Read a study's file.

    Raises:
        UsageError: it cannot be read, or is no YAML mapping.
    """
    require("study", "yaml")
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UsageError(f"{path}:{where} no YAML: {problem}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: a study is a mapping such as `name: scaling-1`")
    return document


def write_document(spec: StudySpec) -> str:
    """Return what `read_document` reads back; what was left to the trainers is not in it."""
    require("study", "yaml")
    import yaml

    text: str = yaml.safe_dump(
        spec.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True
    )
    return text


def make_spec(document: Mapping[str, Any], origin: str = "the study") -> StudySpec:
    """Check what a file and a command line say together.

    Raises:
        UsageError: names every wrong field, a line for each.
    """
    try:
        return StudySpec.model_validate(document)
    except ValidationError as error:
        lines = []
        for found in error.errors(include_url=False):
            field = ".".join(str(part) for part in found["loc"])
            message = found["msg"].removeprefix("Value error, ")
            if found["type"] == "missing":
                lines.append(f"{origin}: {field} is missing")
            elif found["type"] == "extra_forbidden":
                lines.append(f"{origin}: {field}: there is no such field")
            elif not field:
                lines.append(f"{origin}: {message}")
            else:
                lines.append(f"{origin}: {field} is {_shown(found['input'])}: {message}")
        raise UsageError("\n".join(lines)) from error


def extended(kept: StudySpec, given: StudySpec) -> StudySpec:
    """Return a study as it goes on: with the strategies, workers and repeats that were added.

    Raises:
        UsageError: names what else differs, or was taken away.
    """
    before, now = kept.model_dump(), given.model_dump()
    if given.threads_per_worker is None:
        now["threads_per_worker"] = before["threads_per_worker"]
    wrong = []
    for field, value in before.items():
        if field in ("strategies", "workers"):
            if lost := [str(each) for each in value if each not in now[field]]:
                wrong.append(f"{field} without {', '.join(lost)}")
        elif field == "repeats":
            if now[field] < value:
                wrong.append(f"{now[field]} repeats, not {value}")
        elif now[field] != value:
            wrong.append(f"{field} {_shown(now[field])}, not {_shown(value)}")
    if wrong:
        raise UsageError(
            f"study {kept.name!r} was begun otherwise: now with {'; '.join(wrong)}. Only "
            f"{', '.join(_GROWS)} may be added; give another study another name"
        )
    return StudySpec.model_validate(now)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
