"""Budgets from the command line, on a real server."""

import pytest
from typer.testing import CliRunner, Result

from carbon.cli import app
from carbon.errors import ApiRejectedError, UsageError
from carbon.rest.client import Client
from tests.factories import make_report
from tests.fixtures.api import LiveApi


def budgets(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, ["budgets", *arguments], env={"COLUMNS": "200", **environ})


def test_a_budget_is_set_shown_and_removed(live_api: LiveApi) -> None:
    here = {"CARBON_API_URL": live_api.url}
    with Client(live_api.settings) as client:
        client.put_run(make_report(gpu_energy_kwh=1.0))
    days = ["--period", "dates", "--since", "2026-03-01", "--until", "2026-03-31"]
    done = budgets("set", "digits", "march", "--limit", "0.5", *days, **here)
    assert (done.exit_code, done.stderr) == (0, "")
    assert budgets("list", "digits", **here).stdout == done.stdout
    narrow = budgets("list", "digits", **here, COLUMNS="60").stdout
    assert "2026-03-01" in narrow
    assert "2026-03-31" in narrow
    (row,) = [line for line in done.stdout.splitlines() if "march" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["march", "2026-03-01", "2026-03-31", "1.003", "0.5", "", "kWh", "crossed"]
    assert budgets("remove", "digits", "march", **here).exit_code == 0
    none = budgets("list", "digits", **here)
    said = "carbon budgets: project 'digits' has no budgets; set one with `carbon budgets set`\n"
    impossible = budgets("set", "digits", "a/b", "--limit", "1", **here)
    assert isinstance(impossible.exception, UsageError)
    assert "no budget is called 'a/b'" in str(impossible.exception)
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", said)
    gone = budgets("remove", "digits", "march", **here)
    assert isinstance(gone.exception, ApiRejectedError)
    assert "has no budget 'march'" in str(gone.exception)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--quantity", "cost"], "Invalid value: a currency is for a budget of cost"),
        (["--quantity", "power"], "quantity: Input should be"),
        (["--period", "dates", "--since", "tomorrow"], "'tomorrow' is not a date"),
        (["--period", "dates"], "the period 'dates' needs --since and --until"),
    ],
)
def test_what_is_no_budget_is_refused_before_it_is_sent(wrong: list[str], said: str) -> None:
    done = budgets("set", "p", "b", "--limit", "1", *wrong)
    assert done.exit_code == 2
    assert said in done.stderr
