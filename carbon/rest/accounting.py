"""Budgets, prices, what-if and footprints over REST; `Client.accounting` is one of these."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from carbon.errors import UsageError
from carbon.rest.client import quoted
from carbon.schema import (
    Budget,
    BudgetList,
    BudgetName,
    BudgetTerms,
    Footprint,
    Hardware,
    HardwareKind,
    HardwareList,
    HardwareTerms,
    Price,
    PriceList,
    PriceTerms,
    WhatIf,
    WhatIfTerms,
)

_NAME = TypeAdapter(BudgetName)


class Accounting:
    """What a ledger says beside the sums. Every method raises what those of `Client` do."""

    def __init__(self, call: Callable[..., Any]) -> None:
        """Take what sends a request: a shape, a method, a path and the options of httpx."""
        self._call = call

    def budgets(self, project: str, *, on: date | None = None) -> list[Budget]:
        """Read how a project's budgets stand, in the periods of today or of another day."""
        path = f"/v1/projects/{quoted(project)}/budgets"
        found: BudgetList = self._call(BudgetList, "GET", path, params=_on(on))
        return found.items

    def budget(self, project: str, name: str, *, on: date | None = None) -> Budget:
        """Read how one budget stands, in the period of today or of another day."""
        found: Budget = self._call(Budget, "GET", _budget(project, name), params=_on(on))
        return found

    def put_budget(self, project: str, name: str, terms: BudgetTerms) -> Budget:
        """Set a budget, whole."""
        found: Budget = self._call(Budget, "PUT", _budget(project, name), **_sent(terms))
        return found

    def delete_budget(self, project: str, name: str) -> None:
        """Remove a budget."""
        self._call(type(None), "DELETE", _budget(project, name))

    def prices(self, project: str | None = None) -> list[Price]:
        """Read the prices for all projects, before them a project's own; the latest first."""
        found: PriceList = self._call(PriceList, "GET", _prices(project))
        return found.items

    def put_price(self, valid_from: date, terms: PriceTerms, project: str | None = None) -> Price:
        """Set the price from a day on, for a project or for all without one of their own."""
        path = f"{_prices(project)}/{valid_from.isoformat()}"
        found: Price = self._call(Price, "PUT", path, **_sent(terms))
        return found

    def delete_price(self, valid_from: date, project: str | None = None) -> None:
        """Remove the price that was set from a day on."""
        self._call(type(None), "DELETE", f"{_prices(project)}/{valid_from.isoformat()}")

    def what_if(self, run_id: UUID, terms: WhatIfTerms) -> WhatIf:
        """Compare a run with the same energy under other conditions."""
        found: WhatIf = self._call(WhatIf, "POST", f"/v1/runs/{run_id}/what-if", **_sent(terms))
        return found

    def project_what_if(
        self,
        project: str,
        *,
        country: str | None = None,
        region: str | None = None,
        pue: float | None = None,
    ) -> WhatIf:
        """Compare a project's runs with the same energy in another place or at another PUE."""
        asked = {"country": country, "region": region, "pue": pue}
        given = {name: value for name, value in asked.items() if value is not None}
        path = f"/v1/projects/{quoted(project)}/what-if"
        found: WhatIf = self._call(WhatIf, "GET", path, params=given)
        return found

    def footprint(self, run_id: UUID) -> Footprint:
        """Read a run's emissions of operation, and its share of its hardware's embodied ones."""
        found: Footprint = self._call(Footprint, "GET", f"/v1/runs/{run_id}/footprint")
        return found

    def hardware(self) -> list[Hardware]:
        """Read the hardware whose embodied emissions are known."""
        found: HardwareList = self._call(HardwareList, "GET", "/v1/hardware")
        return found.items

    def put_hardware(self, kind: HardwareKind, name: str, terms: HardwareTerms) -> Hardware:
        """Set what making a model of accelerator, or one host, emitted."""
        path = f"/v1/hardware/{kind}/{quoted(name)}"
        found: Hardware = self._call(Hardware, "PUT", path, **_sent(terms))
        return found

    def delete_hardware(self, kind: HardwareKind, name: str) -> None:
        """Forget what making a model of accelerator, or one host, emitted."""
        self._call(type(None), "DELETE", f"/v1/hardware/{kind}/{quoted(name)}")


def _budget(project: str, name: str) -> str:
    """Return a budget's path; raises a `UsageError` where no budget can have the name."""
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise UsageError(
            f"no budget is called {name!r}: names have up to 100 letters, digits, dots, dashes and "
            "underscores, a letter or digit first"
        ) from error
    return f"/v1/projects/{quoted(project)}/budgets/{quoted(name)}"


def _prices(project: str | None) -> str:
    return "/v1/prices" if project is None else f"/v1/projects/{quoted(project)}/prices"


def _on(day: date | None) -> dict[str, str]:
    return {} if day is None else {"on": day.isoformat()}


def _sent(terms: BudgetTerms | PriceTerms | WhatIfTerms | HardwareTerms) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return {"content": terms.model_dump_json(exclude_none=True), "headers": headers}
