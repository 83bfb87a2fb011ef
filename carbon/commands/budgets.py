"""`carbon budgets`: what projects may spend, and how that stands, over REST."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon.settings import load

if TYPE_CHECKING:
    from rich.table import Table

    from carbon.rest.client import Client
    from carbon.schema import Budget

app = typer.Typer(help="Say what projects may spend.", no_args_is_help=True)

Project = Annotated[str, typer.Argument(help="Its name.", show_default=False)]
Name = Annotated[str, typer.Argument(help="The budget's name.", show_default=False)]
Day = Annotated[str | None, typer.Option(metavar="DATE", help="Of the period 'dates', in UTC.")]

_UNITS = {"energy_kwh": "kWh", "grid_energy_kwh": "kWh with PUE", "emissions_kg": "kg CO₂e"}


@app.command("set")
def set_budget(
    project: Project,
    name: Name,
    limit: Annotated[float, typer.Option(help="In the unit of the quantity, or in --currency.")],
    quantity: Annotated[
        str, typer.Option(help="energy_kwh, grid_energy_kwh, emissions_kg or cost.")
    ] = "energy_kwh",
    period: Annotated[str, typer.Option(help="month, quarter, year or dates.")] = "month",
    currency: Annotated[str | None, typer.Option(help="Of a cost: EUR, USD ...")] = None,
    since: Day = None,
    until: Day = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Is told once when the budget is crossed.")
    ] = None,
) -> None:
    """Set a budget of the ledger at CARBON_API_URL, whole."""
    from pydantic import ValidationError

    from carbon.errors import first_wrong
    from carbon.schema import BudgetTerms

    given: dict[str, Any] = {
        "quantity": quantity,
        "limit": limit,
        "currency": currency,
        "period": period,
        "from_day": _day(since),
        "until_day": _day(until),
        "webhook_url": webhook,
    }
    try:
        terms = BudgetTerms.model_validate(given)
    except ValidationError as error:
        field, message, _ = first_wrong(error)
        for name, option in (("from_day", "--since"), ("until_day", "--until")):
            message = message.replace(name, option)
        raise typer.BadParameter(f"{field}: {message}" if field else message) from error
    with _client() as client:
        _show([client.accounting.put_budget(project, name, terms)])


@app.command("list")
def list_budgets(
    project: Project,
    on: Annotated[
        str | None, typer.Option(metavar="DATE", help="In the periods of this day, not today's.")
    ] = None,
) -> None:
    """Show how a project's budgets stand."""
    with _client() as client:
        found = client.accounting.budgets(project, on=_day(on))
    if found:
        _show(found)
    else:
        hint = "set one with `carbon budgets set`"
        typer.echo(f"carbon budgets: project {project!r} has no budgets; {hint}", err=True)


@app.command("remove")
def remove_budget(project: Project, name: Name) -> None:
    """Remove a budget."""
    with _client() as client:
        client.accounting.delete_budget(project, name)


def _client() -> "Client":
    from carbon.rest.client import Client

    return Client(load())


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date such as 2030-12-31") from error


def _show(budgets: "list[Budget]") -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(_table(budgets))


def _table(budgets: "list[Budget]") -> "Table":
    from rich.table import Column, Table
    from rich.text import Text

    days = (Column(name, no_wrap=True) for name in ("from", "until"))
    table = Table("budget", *days, "used", "limit", "expected", "", "state")
    for each in budgets:
        expected = each.forecast
        # As text, for in markup a name could be taken for a style.
        cells = (
            each.name,
            f"{each.from_day}",
            f"{each.until_day}",
            "unknown" if each.spent is None else f"{each.spent:.4g}",
            f"{each.limit:.4g}",
            "" if expected is None else f"{expected.amount:.4g} ± {expected.uncertainty:.2g}",
            _UNITS.get(each.quantity, each.currency or ""),
            each.state.replace("_", " "),
        )
        table.add_row(*map(Text, cells))
    return table
