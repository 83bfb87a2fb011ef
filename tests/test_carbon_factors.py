"""Factor tables from files: read or refused with the line, and used from the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carbon import grid
from carbon.cli import app
from carbon.commands.factor_files import read_table
from carbon.errors import ApiRejectedError, UsageError
from carbon.rest.client import Client
from carbon.schema import Correction, Factor, FactorTable, RecostOrder
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.test_carbon_cli import Env, carbon, is_one_line

HEAD = "country_iso_code,region,intensity_g_per_kwh\n"
TABLE = FactorTable(
    version="market-1",
    kind="market",
    source="S",
    year=2025,
    factors=[Factor(country_iso_code="DEU", intensity_g_per_kwh=300.0)],
)


def factors(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, ["factors", *arguments], env=environ)


def written(directory: Path, text: str) -> Path:
    path = directory / "factors.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_with_what_its_cells_leave_out(tmp_path: Path) -> None:
    text = f'\ufeff{HEAD.strip()},year\nDEU,,300,\nUSA,"New York",2e2,2024\n'
    table = read_table(written(tmp_path, text), "My Agency", 2025, None)
    assert table.version.startswith("my-agency-2025-")
    germany, new_york = table.factors
    assert (germany.region, germany.year, germany.intensity_g_per_kwh) == (None, None, 300.0)
    assert (new_york.region, new_york.year, new_york.intensity_g_per_kwh) == (
        "New York",
        2024,
        200.0,
    )
    assert read_table(tmp_path / "factors.csv", "S", None, "v1").version == "v1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("country_iso_code\nDEU\n", "lacks intensity_g_per_kwh"),
        ("", "lacks country_iso_code, intensity_g_per_kwh"),
        (f"{HEAD.strip()},colour\nDEU,,3,red\n", "has 'colour'"),
        (f"{HEAD}DEU,,3\nGER,,3\n", "line 3, country_iso_code: 'GER' is not an ISO 3166-1"),
        (f"{HEAD}DEU,,\n", "line 2, intensity_g_per_kwh: Field required"),
        (f"{HEAD}DEU,,three\n", "line 2, intensity_g_per_kwh: Input should be a valid number"),
        (f"{HEAD}DEU,,nan\n", "line 2, intensity_g_per_kwh"),
        (f"{HEAD}DEU,3\n", "line 2: it has not as many cells"),
        (f"{HEAD}DEU,,3,4\n", "line 2: it has not as many cells"),
        (HEAD, "factors: List should have at least 1 item"),
    ],
)
def test_what_is_no_table_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_table(written(tmp_path, text), "s", 2025, None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_table(tmp_path / "none.csv", "s", 2025, None)
    (tmp_path / "latin.csv").write_bytes(b"country\xfc")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_table(tmp_path / "latin.csv", "s", 2025, None)


def test_a_table_is_imported_shown_and_costed_with(
    shared_api: LiveApi, tracked_env: Env, tmp_path: Path
) -> None:
    env = {**tracked_env, "CARBON_API_URL": shared_api.url}
    report = make_report(gpu_energy_kwh=1.0)
    with Client(shared_api.settings) as client:
        client.put_run(report)
    path = written(tmp_path, f"{HEAD}DEU,,300\nUSA,New York,200\n")
    command = ["factors", "import", str(path), "--source", "S", "--year", "2025", "--version", "v1"]
    assert carbon(*command, env=env).stdout == "v1: 2 factors of S\n"
    bought = [*command[1:-1], "m1", "--kind", "market"]
    assert factors(*bought, **env).exit_code == 0
    listed = factors("list", **{**env, "COLUMNS": "40"}).stdout
    assert "v1" in listed
    assert grid.bundled_version() in listed
    with Client(shared_api.settings) as client:
        kinds = {table.version: table.kind for table in client.factor_tables()}
    assert (kinds["v1"], kinds["m1"]) == ("location", "market")
    shown = tmp_path / "shown.csv"
    shown.write_text(carbon("factors", "show", "v1", env=env).stdout, encoding="utf-8")
    again = read_table(shown, "S", 2025, "v2")
    assert [factor.intensity_g_per_kwh for factor in again.factors] == [300.0, 200.0]
    planned = carbon("factors", "recost", "v1", "--dry-run", env=env).stdout
    assert "1 runs would have a new figure: 0.458511 kg -> 0.36108 kg (-0.0974314 kg)" in planned
    market = factors("recost", "m1", "--since", "2026-03-01", "--until", "2026-03-01", **env)
    assert "1 runs have a new figure: unknown -> 0.36108 kg\n" in market.stdout
    before = factors("recost", "v1", "--until", "2026-02-28", **env)
    assert "0 runs have a new figure: 0 kg -> 0 kg (+0 kg)\n0 as before" in before.stdout
    done = carbon("factors", "recost", "v1", "--since", "2026-03-01", env=env).stdout
    assert "1 runs have a new figure" in done
    for wrong, why in (
        (["show", "v9"], "no factor table 'v9'"),
        (["recost", "v9"], "no factor table 'v9'"),
        (["recost", "v1", "--since", "yesterday"], "--since 'yesterday': give it as 2026-01-31"),
        (["recost", "v1", "--until", "9999-12-31"], "--until 9999-12-31 is the end of time; leave"),
    ):
        refused = carbon("factors", *wrong, env=env)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert is_one_line(refused.stderr)
    with Client(shared_api.settings) as client:
        current, old, _ = client.costings(report.run_id)
        assert (current.factor_table, old.emissions_kg) == ("v1", report.emissions_kg)
        correction = Correction(reason="moved", region=None, study="s")
        assert client.correct(report.run_id, correction).study == "s"
        assert [entry.action for entry in client.audit()] == [
            "correct",
            "recost",
            "recost",
            "import",
            "import",
        ]
        of_the_run = [entry.action for entry in client.audit(run_id=report.run_id)]
        assert of_the_run == ["correct", "recost", "recost"]
        assert client.recost(RecostOrder(table="v1", limit=1)).runs == 0
        with pytest.raises(ApiRejectedError, match="no factor table 'v9'"):
            client.grid("v9")


def test_the_parts_of_a_recosting_add_up_to_what_is_known(shared_api: LiveApi) -> None:
    """Each run is a part here: of one there is nothing to tell, and of the other nothing before."""
    with Client(shared_api.settings) as client:
        client.put_run(make_report(gpu_energy_kwh=1.0))
        client.put_run(make_report(gpu_energy_kwh=1.0, country_iso_code="FRA"))
        client.import_factors(TABLE)
        done = client.recost(RecostOrder(table=TABLE.version, limit=1, dry_run=True))
    assert (done.runs, done.runs_without_factor, done.emissions_before_kg) == (1, 1, None)
    assert done.emissions_after_kg == pytest.approx(1.003 * 1.2 * 0.3)
    assert done.difference_kg is None
