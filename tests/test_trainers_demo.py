"""The parts of the demo; `make demo` as a whole has a test of its own."""

import os
import socket
from pathlib import Path

import pytest
from rich.console import Console

from carbon import settings
from trainers.demo import CONFIGURATIONS, environment, free_port, training_command
from trainers.options import parse

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in [key for key in os.environ if key.startswith("CARBON_")]:
        monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)


def test_a_port_in_use_is_passed_over() -> None:
    first = free_port(20787)
    with socket.create_server(("127.0.0.1", first)):
        second = free_port(20787)
    assert second > first
    assert (second - first) % 2 == 0
    assert free_port(20787) == first


def test_all_that_the_demo_keeps_is_in_its_folder(tmp_path: Path) -> None:
    chosen = settings.load(environment(tmp_path / ".demo", QUIET))
    assert chosen.spool_dir == tmp_path / ".demo" / "spool"
    assert chosen.database_url == f"sqlite:///{tmp_path}/.demo/ledger.db"
    assert chosen.base_url.startswith("http://127.0.0.1:")
    assert (tmp_path / ".demo").is_dir()


def test_an_example_place_is_used_only_where_none_is_set_and_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = environment(tmp_path / ".demo", Console())
    assert environ["CARBON_COUNTRY_ISO_CODE"] == "DEU"
    assert "Germany (DEU) as an example" in capsys.readouterr().out.replace("\n", " ")

    monkeypatch.setenv("CARBON_COUNTRY_ISO_CODE", "FRA")
    environ = environment(tmp_path / ".demo", Console())
    assert environ["CARBON_COUNTRY_ISO_CODE"] == "FRA"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CARBON_API_URL", "http://127.0.0.1:9999"),
        ("CARBON_SPOOL_DIR", "/elsewhere/spool"),
        ("CARBON_DATABASE_URL", "sqlite:////elsewhere/ledger.db"),
        ("CARBON_PUE", "1.4"),
    ],
)
def test_what_the_user_has_set_stays(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert environment(tmp_path / ".demo", QUIET)[variable] == value


def test_what_the_user_has_set_in_the_project_stays(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.carbon]\ncountry_iso_code = "ITA"\n')
    environ = environment(tmp_path / ".demo", QUIET)
    assert "CARBON_COUNTRY_ISO_CODE" not in environ
    assert settings.load(environ).country_iso_code == "ITA"


def test_the_configurations_differ_in_nothing_but_strategy_and_workers() -> None:
    options = []
    for configuration in CONFIGURATIONS:
        words = training_command(configuration, "s")
        arguments = words[words.index("trainers.train") + 1 :]
        options.append(vars(parse(arguments)) | {"strategy": None, "name": None})
    assert options[0]["study"] == "s"
    assert options[0] == options[1] == options[2]
    assert len({str(configuration) for configuration in CONFIGURATIONS}) == len(CONFIGURATIONS)
