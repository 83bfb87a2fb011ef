"""One process's part in a run, as the sequence of events that its spool file holds.

A part is never written as a whole: events are appended as they happen, and `Part` is what has
been said so far. The report of a living run and that of one found after a crash come from the same
fold. Energies are joules since the run began in this process, cumulative: the last one counts.
"""

import functools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Self, get_args
from uuid import UUID

from carbon.schema import Component, Status


@dataclass(frozen=True)
class Started:
    """The first event of every part."""

    kind: ClassVar[str] = "started"
    run_id: str
    started_at: str  # ISO 8601, UTC
    spec: dict[str, Any]
    hostname: str
    pid: int
    rank: int
    world_size: int
    n_nodes: int
    attempt: int
    began_s: float = 0.0
    """When the part began, on the host's monotonic clock, which all its processes share."""
    is_launcher: bool = False
    """Whether this is `carbon run`, which measures for the processes that it started."""
    workers: int | None = None
    """How many workers its command line says there are, which nothing inside need tell of."""

    @property
    def part_name(self) -> str:
        """The part's own name: no two of a run have the same, nor those of one process."""
        began_us = round(self.began_s * 1e6)
        name = f"{self.hostname}-{self.attempt}-{self.rank}-{self.pid}-{began_us}"
        return f"{name}-launcher" if self.is_launcher else name


@dataclass(frozen=True)
class Described:
    """Where and with what the run runs: the fields of a `Place`, and versions by distribution."""

    kind: ClassVar[str] = "described"
    place: dict[str, Any]
    software: dict[str, str]


@dataclass(frozen=True)
class Committed:
    """The commit of the code, found out in the background; None outside of a repository."""

    kind: ClassVar[str] = "committed"
    git_commit: str | None


@dataclass(frozen=True)
class RunBy:
    """Who runs it, found out in the background too; None where nobody is to be named or known."""

    kind: ClassVar[str] = "run_by"
    user: str | None


@dataclass(frozen=True)
class Metered:
    """A meter this part reads. `key` names it in `Sampled`; `uuid` is None for the host's own."""

    kind: ClassVar[str] = "metered"
    key: str
    component: Component
    method: str
    uncertainty: float
    uuid: str | None = None
    index: int | None = None
    name: str | None = None
    """The accelerator's or the processor's name."""
    idle_power_w: float | None = None
    """What the device draws idle, by its host's baseline; see `carbon.tracking.baseline`."""
    unseen_s: float = 0.0
    """How long this part had gone on before the meter was read first: until then it is inferred."""


@dataclass(frozen=True)
class Sampled:
    """Cumulative joules of every meter that has a value at `at_s` seconds into the part."""

    kind: ClassVar[str] = "sampled"
    at_s: float
    energy_j: dict[str, float]
    utilization_percent: dict[str, float]
    """Mean since the part began, by meter."""
    notes: dict[str, str]
    idle_j: dict[str, float] = field(default_factory=dict)
    """What the meters with an `idle_power_w` would have counted idle; no more than they counted."""


@dataclass(frozen=True)
class EpochBegan:
    """An epoch that goes on at a sample; `began_s` is on the host's monotonic clock."""

    kind: ClassVar[str] = "epoch_began"
    index: int
    began_s: float


@dataclass(frozen=True)
class EpochEnded:
    """One epoch; `energy_j` is None where no meter covered it."""

    kind: ClassVar[str] = "epoch"
    index: int
    duration_s: float
    energy_j: float | None
    metrics: dict[str, float | None]
    began_s: float | None = None
    """On the host's monotonic clock."""


@dataclass(frozen=True)
class EpochMeasured:
    """What this part's meters say of an epoch of another part, of the name `part`."""

    kind: ClassVar[str] = "epoch_measured"
    part: str
    index: int
    energy_j: float


@dataclass(frozen=True)
class Logged:
    """Metrics logged outside of any epoch."""

    kind: ClassVar[str] = "logged"
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Profiled:
    """Where the time of some of this rank's steps went; the fields of a `StepProfile`."""

    kind: ClassVar[str] = "profiled"
    profile: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """The last event of a part that was not killed."""

    kind: ClassVar[str] = "ended"
    status: Status
    duration_s: float


Event = (
    Started
    | Described
    | Committed
    | RunBy
    | Metered
    | Sampled
    | EpochBegan
    | EpochEnded
    | EpochMeasured
    | Logged
    | Profiled
    | Ended
)
_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def to_line(event: Event) -> str:
    """Write an event as one line of JSON without a newline in it."""
    if isinstance(event, Sampled) and not event.notes:
        numbers = [_numbers(n) for n in (event.energy_j, event.utilization_percent, event.idle_j)]
        if None not in numbers:
            energy_j, percent, idle_j = numbers
            return (
                f'{{"kind":"sampled","at_s":{event.at_s!r},"energy_j":{energy_j},'
                f'"utilization_percent":{percent},"notes":{{}},"idle_j":{idle_j}}}'
            )
    return _ENCODER.encode({"kind": event.kind, **vars(event)})


def _numbers(by_key: dict[str, float]) -> str | None:
    """Return the numbers as JSON; None where one is not finite.

    They are written every second beside a training, which by then has driven all code from the
    caches: this takes half the time of the encoder, whose own has to be fetched for it.
    """
    if not math.isfinite(sum(by_key.values())):
        return None
    return "{" + ",".join([f"{_quoted(key)}:{value!r}" for key, value in by_key.items()]) + "}"


_quoted = functools.lru_cache(json.dumps)


def from_line(line: str) -> Event:
    """Read an event back.

    Raises:
        ValueError: the line is torn, or not an event.
    """
    try:
        document = json.loads(line)
        return _KINDS[document.pop("kind")](**document)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error


@dataclass
class Part:
    """What a process has said of its run so far."""

    started: Started
    described: Described | None = None
    committed: Committed | None = None
    run_by: RunBy | None = None
    meters: dict[str, Metered] = field(default_factory=dict)
    sampled: Sampled = field(default_factory=lambda: Sampled(0.0, {}, {}, {}))
    epochs: dict[int, EpochEnded] = field(default_factory=dict)
    """By index; an epoch may be said again once its energy is known."""
    open_epoch: EpochBegan | None = None
    measured: dict[tuple[str, int], EpochMeasured] = field(default_factory=dict)
    """Epochs of other parts, by the part's name and the epoch's index."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    profiled: Profiled | None = None
    ended: Ended | None = None
    is_alive: bool = True
    """Whether the process still holds the part; one that is neither alive nor ended was killed."""

    @classmethod
    def replay(cls, events: Iterable[Event], *, is_alive: bool) -> Self | None:
        """Fold events into a part; None where not even the first one is there."""
        part: Self | None = None
        for event in events:
            if isinstance(event, Started):
                part = cls(event, is_alive=is_alive)
            elif part is not None:
                part.apply(event)
        return part

    def apply(self, event: Event) -> None:
        """Add one event to what has been said."""
        match event:
            case Described():
                self.described = event
            case Committed():
                self.committed = event
            case RunBy():
                self.run_by = event
            case Metered():
                self.meters[event.key] = event
            case Sampled():
                self.sampled = event
            case EpochBegan():
                self.open_epoch = event
            case EpochMeasured():
                self.measured[event.part, event.index] = event
            case EpochEnded():
                if event.index not in self.epochs:  # Said again, it has no newer metrics.
                    self.metrics.update(event.metrics)
                self.epochs[event.index] = event
                if self.open_epoch is not None and self.open_epoch.index <= event.index:
                    self.open_epoch = None
            case Logged():
                self.metrics.update(event.metrics)
            case Profiled():
                self.profiled = event
            case Ended():
                self.ended = event
            case Started():
                raise ValueError("a part starts once")

    def events(self) -> list[Event]:
        """Return the fewest events that say the same."""
        described = [self.described] if self.described else []
        committed = [self.committed] if self.committed else []
        run_by = [self.run_by] if self.run_by else []
        begun = [self.open_epoch] if self.open_epoch else []
        profiled = [self.profiled] if self.profiled else []
        ended = [self.ended] if self.ended else []
        return [
            self.started,
            *described,
            *committed,
            *run_by,
            *self.meters.values(),
            *self.epochs.values(),
            *begun,
            *self.measured.values(),
            Logged(self.metrics),
            *profiled,
            self.sampled,
            *ended,
        ]

    @property
    def run_id(self) -> UUID:
        """The run this is a part of."""
        return UUID(self.started.run_id)

    @property
    def started_at(self) -> datetime:
        """When the process entered the run, UTC."""
        return datetime.fromisoformat(self.started.started_at)

    @property
    def duration_s(self) -> float:
        """How long the part lasted, or has lasted by its last sample."""
        return self.ended.duration_s if self.ended else self.sampled.at_s

    @property
    def status(self) -> Status:
        """How the part ended, or that it has not."""
        if self.ended:
            return self.ended.status
        return "running" if self.is_alive else "interrupted"
