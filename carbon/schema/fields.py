"""The kinds of values that a field can hold, and the base of every wire model."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema

from carbon import units
from carbon.countries import is_country

SCHEMA_VERSION = 4

Strategy = Literal[
    "single", "ddp", "fsdp", "deepspeed", "horovod", "ray-ddp", "ray-deepspeed", "other"
]
StudyUnit = Literal["epoch", "run"]
Status = Literal["running", "completed", "failed", "interrupted"]
Component = Literal["gpu", "cpu", "ram"]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is in UTC not within the years 1 to 9999") from None


def _rounded_to(decimals: int) -> AfterValidator:
    return AfterValidator(partial(round, ndigits=decimals))


def finite_by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Take what is not finite for unknown: a loss that diverged to NaN must not keep its run out.

    JSON has no NaN.
    """
    for value in values.values():  # As a rule all are: not a call for each of them.
        if isinstance(value, float) and not math.isfinite(value):
            return {name: _finite_or_none(value) for name, value in values.items()}
    return values


def finite_in_order(values: list[float | None]) -> list[float | None]:
    """Do the same of a list."""
    return [_finite_or_none(value) for value in values]


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character, which PostgreSQL cannot store")
    return value


def _country_exists(code: str) -> str:
    if not is_country(code):
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-3 country code")
    return code


@dataclass(frozen=True)
class FitsAKey:
    """Refuse what PostgreSQL cannot hold in an index; several of these are one key of a sum there.

    An entry has at most 2,704 bytes (https://www.postgresql.org/docs/current/btree.html).
    """

    most_bytes: int

    def __call__(self, value: str) -> str:
        without_nul(value)  # Here, for pydantic to call one function for each name and not two.
        if len(value) * 4 > self.most_bytes and len(value.encode()) > self.most_bytes:
            raise ValueError(
                f"has {len(value.encode())} bytes in UTF-8, more than the {self.most_bytes} that "
                "can be stored; shorten it"
            )
        return value


@dataclass(frozen=True)
class OneOf:
    """Say of what is none of several types that it is none of them, once and not of each type."""

    types: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        union: Any = handler(source)
        assert union["type"] == "union"
        union["custom_error_type"] = "none_of_the_types"
        union["custom_error_message"] = f"Input should be {self.types}"
        schema: CoreSchema = union
        return schema


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError(f"must be a UUID of version 7 (RFC 9562), got version {value.version}")
    return value


# What a validator checks is said in the JSON schema too, as far as that can.
_WITHOUT_NUL = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})
_NOT_BLANK = Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"})
_UUID7 = Field(
    json_schema_extra={
        "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-"
        "[0-9a-fA-F]{12}$"
    }
)

FIRST_ERROR_ONLY = FailFast()
"""Of a list that may be long: to tell of all its wrong items takes a hundred times its memory."""

Utc = Annotated[AwareDatetime, AfterValidator(_in_utc)]
RunId = Annotated[UUID, AfterValidator(_is_uuid7), _UUID7]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(without_nul), _WITHOUT_NUL]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(FitsAKey(600)),
    _NOT_BLANK,
]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000, strip_whitespace=True),
    AfterValidator(without_nul),
]
Source = Annotated[Text, AfterValidator(FitsAKey(1000))]
# A run of 9 GWh is the largest that a 64-bit count of 1e-12 kWh holds.
UnroundedKwh = Annotated[float, Field(ge=0, le=9e6, allow_inf_nan=False)]
"""Of a part of a run, as it was sent: only what runs add up to is kept in fixed decimals."""
EnergyKwh = Annotated[UnroundedKwh, _rounded_to(units.ENERGY_DECIMALS)]
MassKg = Annotated[
    float, Field(ge=0, le=9e6, allow_inf_nan=False), _rounded_to(units.MASS_DECIMALS)
]
# 285 years, for the same reason: a 64-bit count of nanoseconds.
UnroundedSeconds = Annotated[float, Field(ge=0, le=9e9, allow_inf_nan=False)]
Seconds = Annotated[UnroundedSeconds, _rounded_to(units.TIME_DECIMALS)]
Fraction = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Intensity = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
Year = Annotated[int, Field(ge=1990, le=2200)]
Pue = Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
MAX_WORLD_SIZE = 10_000_000
Count = Annotated[int, Field(ge=1, le=MAX_WORLD_SIZE)]
Index = Annotated[int, Field(ge=0, le=2_000_000_000)]
ConfigValue = (
    Annotated[
        Text | int | float | bool,
        OneOf("a text of at most 1000 characters without NUL, a number, true, false or null"),
    ]
    | None
)
MAX_METRICS = 1000
MAX_TAGS = 100
MAX_CONFIG = 1000
MAX_BATCH = 1000
Metrics = Annotated[
    dict[Name, float | None], Field(max_length=MAX_METRICS), AfterValidator(finite_by_name)
]
Config = Annotated[
    dict[Name, ConfigValue], Field(max_length=MAX_CONFIG), AfterValidator(finite_by_name)
]
CountryCode = Annotated[
    str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_country_exists)
]


class Wire(BaseModel):
    """The base of every wire model: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
