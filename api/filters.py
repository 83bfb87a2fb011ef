"""Which runs are asked for: what a request may say, and what it means for the database."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from sqlalchemy import ColumnElement, exists, select

from api.access import Access
from api.labels import gpu_label, host_label, tag_label, user_label, word_label, words
from api.tables import LABELS, RUNS
from api.unindexed import unindexed
from carbon.schema import CountryCode, EnergyKwh, MassKg, Name, Seconds, Status, Strategy, Text, Utc

_MOST_VALUES = 20
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Among:
    """Runs that have one of these values in a column, or one of these labels."""

    column: str | None
    """Of the runs; None for labels."""
    values: tuple[str, ...]

    def matches(self) -> ColumnElement[bool]:
        """Return the condition on a run's row, as one to check and not to look up by."""
        if self.column is not None:
            return unindexed(RUNS.c[self.column]).in_(self.values)
        # By a name of its own, for the list may be going through another label.
        own = LABELS.alias().c
        key = (own.started_at == RUNS.c.started_at, own.run_id == RUNS.c.run_id)
        return exists(select(own.label).where(own.label.in_(self.values), *key))

    def found(self) -> ColumnElement[bool]:
        """Return the condition on `source`, as one to look up by."""
        if self.column is not None:
            return RUNS.c[self.column].in_(self.values)
        return LABELS.c.label.in_(self.values)

    @property
    def source(self) -> Any:
        """The table whose index answers `found`."""
        return LABELS if self.column is None else RUNS


@dataclass(frozen=True)
class Between:
    """Runs whose value in a column is known and within bounds."""

    column: str
    least: Any = None
    most: Any = None
    below: Any = None
    """Does not belong to it."""

    source = RUNS

    def matches(self) -> ColumnElement[bool]:
        """Return the condition on a run's row, as one to check and not to look up by."""
        return self.within(unindexed(RUNS.c[self.column]))

    def found(self) -> ColumnElement[bool]:
        """Return the condition on `source`, as one to look up by."""
        return self.within(RUNS.c[self.column])

    def within(self, column: Any) -> ColumnElement[bool]:
        """Return the condition on a column that holds the same as the runs'."""
        condition: ColumnElement[bool] = column.is_not(None)
        if self.least is not None:
            condition &= column >= self.least
        if self.most is not None:
            condition &= column <= self.most
        if self.below is not None:
            condition &= column < self.below
        return condition


Filter = Among | Between


def _day(days_after: int) -> Callable[[Any], Any]:
    """Read a bare date as a moment in UTC; leave anything else for pydantic."""

    def read(given: Any) -> Any:
        if not isinstance(given, str) or not _DATE.fullmatch(given):
            return given
        try:
            day = date.fromisoformat(given) + timedelta(days=days_after)
        except OverflowError as error:
            raise ValueError("the day after it is beyond the year 9999") from error
        return datetime.combine(day, time(), UTC)

    return read


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must not be empty; leave it out to find any run")
    return text


def _has_words(text: str) -> str:
    if not words(text):
        raise ValueError(f"{text!r} has no letter or digit to search for")
    return text


_Since = Annotated[Utc, BeforeValidator(_day(0))]
_Until = Annotated[Utc, BeforeValidator(_day(1))]
Country = Annotated[
    CountryCode, BeforeValidator(lambda code: code.upper() if isinstance(code, str) else code)
]
_Label = Annotated[Text, AfterValidator(_not_empty)]


def listed(description: str) -> Any:
    """Return the field of a parameter that may be given several times."""
    return Field(default=[], max_length=_MOST_VALUES, description=description)


class RunFilters(BaseModel, extra="forbid"):
    """Which runs are asked for; a misspelt filter is refused, not ignored.

    Several values of one filter are alternatives, but for `tag`: a run must have every one.
    """

    project: list[Name] = listed("Exact name.")
    study: list[Name] = listed("Exact name.")
    strategy: list[Strategy] = listed("How the training was distributed.")
    status: list[Status] = listed("What became of it.")
    tag: list[_Label] = listed("A tag's key, or `key:value`; of several a run has every one.")
    host: list[Name] = listed("Name of a host that it ran on.")
    gpu: list[_Label] = listed("Model of an accelerator that it used, as its driver calls it.")
    country: list[Country] = listed("ISO 3166-1 alpha-3 code.")
    region: list[Name] = listed("Region of the country or of a cloud.")
    user: list[Name] = listed("Who ran it.")
    since: Annotated[
        _Since | None, Field(description="Started then or later: a moment, or a date in UTC.")
    ] = None
    until: Annotated[
        _Until | None,
        Field(description="Started before that moment, or until the end of that date in UTC."),
    ] = None
    min_energy_kwh: EnergyKwh | None = None
    max_energy_kwh: EnergyKwh | None = None
    min_emissions_kg: MassKg | None = None
    max_emissions_kg: MassKg | None = None
    min_duration_s: Seconds | None = None
    max_duration_s: Seconds | None = None
    q: Annotated[
        Text | None,
        AfterValidator(lambda text: text if text is None else _has_words(text)),
        Field(
            description="Whole words in any order and case, all of which are in the run's project, "
            "study, name, strategy, values of tags, texts of its config, hosts or accelerators."
        ),
    ] = None

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(
                f"since is {self.since.isoformat()}, which is not before until, "
                f"{self.until.isoformat()}"
            )
        for column in _AMOUNTS:
            least, most = getattr(self, f"min_{column}"), getattr(self, f"max_{column}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{column} is {least}, more than max_{column}, {most}")
        return self

    def filters(self, access: Access) -> Sequence[Filter]:
        """Return what the database is to find for this access, each value once.

        One without values means that there is nothing to find.
        """
        projects = access.among(self.project)
        found: list[Filter] = [] if projects is None else [Among("project", projects)]
        found += [
            Among(column, tuple(dict.fromkeys(values)))
            for field, column in _COLUMNS.items()
            if (values := getattr(self, field))
        ]
        for field, label in (("host", host_label), ("gpu", gpu_label), ("user", user_label)):
            if values := getattr(self, field):
                found.append(Among(None, tuple(dict.fromkeys(map(label, values)))))
        every = [*map(tag_label, self.tag), *map(word_label, words(self.q or ""))]
        found += [Among(None, (label,)) for label in dict.fromkeys(every)]
        for column in _AMOUNTS:
            bounds = getattr(self, f"min_{column}"), getattr(self, f"max_{column}")
            if bounds != (None, None):
                found.append(Between(column, *bounds))
        return found

    @property
    def asks_for_labels(self) -> bool:
        """Whether what is found depends on the labels of runs."""
        return bool(self.tag or self.host or self.gpu or self.user or self.q)

    def period(self) -> Between | None:
        """Return between which moments the runs began, if that is said."""
        if self.since is None and self.until is None:
            return None
        return Between("started_at", least=self.since, below=self.until)


_COLUMNS = {
    "study": "study",
    "strategy": "strategy",
    "status": "status",
    "country": "country_iso_code",
    "region": "region",
}
_AMOUNTS = ("energy_kwh", "emissions_kg", "duration_s")
