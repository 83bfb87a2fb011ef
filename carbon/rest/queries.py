"""What can be asked of the API, by the names that its URLs have for it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict

Some = str | Sequence[str] | None


class RunFilters(TypedDict, total=False):
    """Which runs are asked for, and in which order; what is None or left out does not matter.

    Several values of one filter are alternatives, but of `tag` a run must have every one: a tag's
    key, or `key:value`. `host` and `gpu` are in any case. `q` is whole words, all of which are in
    the run's texts. `since` and `until` are aware moments, or dates in UTC of which the last day
    belongs to the range. `sort` is started_at, duration_s, energy_kwh or emissions_kg, after a "-"
    in descending order.
    """

    project: Some
    study: Some
    strategy: Some
    status: Some
    tag: Some
    host: Some
    gpu: Some
    country: Some
    region: Some
    user: Some
    since: datetime | date | str | None
    until: datetime | date | str | None
    min_energy_kwh: float | None
    max_energy_kwh: float | None
    min_emissions_kg: float | None
    max_emissions_kg: float | None
    min_duration_s: float | None
    max_duration_s: float | None
    q: str | None
    sort: str | None


class GroupFilters(TypedDict, total=False):
    """Which runs a summary by groups is of, and in which order its lines are.

    Several values of one filter are alternatives. `since` and `until` are days in UTC, both of
    which belong to the range. `order` is ascending or descending, by the keys.
    """

    study: Some
    strategy: Some
    status: Some
    user: Some
    country: Some
    region: Some
    since: date | str | None
    until: date | str | None
    order: str | None


def given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that have a value, as a URL can hold them; of a list, each of them."""

    def text(value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value

    return {
        name: [text(each) for each in value] if isinstance(value, list | tuple) else text(value)
        for name, value in parameters.items()
        if value is not None
    }
