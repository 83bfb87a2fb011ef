"""`carbon report` against a real ledger: the files it leaves, and what it refuses."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carbon.analysis.tradeoff import scaling
from carbon.cli import app
from carbon.errors import CarbonError, UsageError
from carbon.rest.client import Client
from tests import studies
from tests.factories import make_report
from tests.fixtures.api import LiveApi, serving

MAGIC = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    """A ledger with the study `scaling`, one name in two projects, and a search."""
    with serving(tmp_path_factory.mktemp("ledger")) as server, Client(server.settings) as client:
        for run in [*studies.repeated(), *studies.search()]:
            client.put_run(run)
        for project in ("a", "b"):
            client.put_run(make_report(project=project, study="twice"))
        yield server


def report(ledger: LiveApi, *arguments: str) -> Result:
    environ = {"CARBON_API_URL": ledger.url, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["report", *arguments], env=environ)


def test_a_study_becomes_a_page_pictures_tables_and_text(ledger: LiveApi, tmp_path: Path) -> None:
    done = report(ledger, "scaling", "-o", str(tmp_path / "out"), "--target", "0.8")
    assert done.exit_code == 0, done.output
    assert "Configurations" in done.stdout
    assert "report.html and" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    pictures = sorted((tmp_path / "out" / "charts").iterdir())
    names = {picture.stem for picture in pictures}
    assert len(names) == 13
    assert len(pictures) == 3 * len(names)
    for picture in pictures:
        content = picture.read_bytes()
        assert content.startswith(MAGIC[picture.suffix[1:]]), picture.name
        assert len(content) > 4000, picture.name
        assert f'id="{picture.stem}"' in page
    points = scaling("studies", "scaling", list(studies.repeated())).points
    with (tmp_path / "out" / "tables" / "configurations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch_s"]) for row in rows] == pytest.approx([p.epoch_s for p in points])
    tables = {table.stem for table in (tmp_path / "out" / "tables").iterdir()}
    assert {"configurations", "hardware", "marginal", "race", "reaching", "runs"} <= tables


def test_formats_are_those_asked_for(ledger: LiveApi, tmp_path: Path) -> None:
    done = report(ledger, "search", "-o", str(tmp_path), "--formats", "svg")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "charts").iterdir()] == ["learning-curves.svg"]
    assert report(ledger, "search", "-o", str(tmp_path), "--formats", "gif").exit_code == 2


def test_nothing_of_an_earlier_report_stays_beside_a_new_one(
    ledger: LiveApi, tmp_path: Path
) -> None:
    def files() -> set[str]:
        return {path.name for path in tmp_path.rglob("*") if path.is_file()}

    assert report(ledger, "scaling", "-o", str(tmp_path), "--formats", "svg").exit_code == 0
    assert {"speedup.svg", "race.csv"} <= files()
    (tmp_path / "charts" / "my-own.svg").touch()
    assert report(ledger, "search", "-o", str(tmp_path), "--formats", "png").exit_code == 0
    assert files() & {"speedup.svg", "race.csv", "learning-curves.svg"} == set()
    assert {"my-own.svg", "learning-curves.png", "trials.csv"} <= files()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scalling"], "there is no study 'scalling' in the ledger; there are, among others: scal"),
        (["scaling", "--project", "a"], "no study 'scaling' in project 'a'; .* others: twice"),
        (["scaling", "--project", "none"], "there is no project 'none'"),
        (["twice"], "2 projects have a study 'twice': a, b; choose one with --project"),
        (["scaling", "--deadline", "-1"], "deadline_s is -3600.0"),
        (["scaling", "--metric", "acuracy"], "--metric acuracy: .* there are: accuracy"),
    ],
)
def test_what_cannot_be_reported_is_said(
    ledger: LiveApi, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = report(ledger, *arguments, "-o", str(tmp_path / "out"))
    assert isinstance(done.exception, CarbonError)
    assert not (tmp_path / "out").exists()
    with pytest.raises(CarbonError, match=said):
        raise done.exception


def test_a_directory_that_cannot_be_made_is_named(ledger: LiveApi, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = report(ledger, "search", "-o", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="file cannot be written: "):
        raise done.exception or AssertionError


def test_a_missing_library_is_one_line(ledger: LiveApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "vl" in name else name)
    done = report(ledger, "scaling")
    assert isinstance(done.exception, CarbonError)
    assert str(done.exception) == (
        "vl_convert is not installed; run: pip install 'carbon-ledger[report]'"
    )
