from pathlib import Path

import pytest

from carbon.errors import SettingsError
from carbon.schema import SERIES_NAMES
from carbon.settings import DEFAULT_API_URL, load


def test_defaults_need_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    settings = load({}, tmp_path)
    assert settings.base_url == DEFAULT_API_URL
    assert settings.spool_dir == tmp_path / ".local/state/carbon-ledger/spool"
    assert settings.database_url == f"sqlite:///{tmp_path}/.local/state/carbon-ledger/ledger.db"
    assert settings.country_iso_code is None
    assert settings.pue == 1.0
    assert not list(tmp_path.iterdir()), "reading settings creates nothing"


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = load(
        {
            "CARBON_API_URL": "https://ledger.example/base/",
            "CARBON_API_KEY": "12345",
            "CARBON_SPOOL_DIR": str(tmp_path / "spool"),
            "CARBON_DATABASE_URL": "postgresql+psycopg://ledger@db/ledger",
            "CARBON_COUNTRY_ISO_CODE": "usa",
            "CARBON_REGION": "california",
            "CARBON_PUE": "1.25",
            "CARBON_USER": " ann ",
            "CARBON_SAMPLE_INTERVAL_S": "0.5",
            "CARBON_SERIES": "ram_used, gpu_power",
        },
        tmp_path,
    )
    assert settings.base_url == "https://ledger.example/base"
    assert settings.api_key_text == "12345"
    assert settings.spool_dir == tmp_path / "spool"
    assert settings.database_url == "postgresql+psycopg://ledger@db/ledger"
    assert (settings.country_iso_code, settings.region) == ("USA", "california")
    assert settings.user == "ann"
    assert (settings.pue, settings.sample_interval_s) == (1.25, 0.5)
    assert settings.series == ("gpu_power", "ram_used")
    assert "12345" not in repr(settings)


def test_an_empty_user_is_nobody_and_other_empty_variables_are_not_set(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.carbon]\nuser = "ann"\npue = 1.5\n')
    settings = load({"CARBON_USER": "", "CARBON_PUE": ""}, tmp_path)
    assert (settings.user, settings.pue) == ("", 1.5)
    assert load({}, tmp_path).user == "ann"


def test_the_environment_wins_over_the_project_and_an_option_over_both(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.carbon]\npue = 1.5\ncountry_iso_code = "FRA"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert load({}, below).pue == 1.5
    assert load({"CARBON_PUE": "1.4"}, below).pue == 1.4
    assert load({"CARBON_PUE": "1.4"}, below, pue=1.3).pue == 1.3
    assert load({"CARBON_PUE": "1.4"}, below, pue=None).country_iso_code == "FRA"


def test_a_broken_project_file_stops_no_training(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.carbon\npue = ")
    assert load({}, tmp_path).pue == 1.0


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"CARBON_PUE": "abc"}, "CARBON_PUE is 'abc'"),
        ({"CARBON_PUE": "0.9"}, "CARBON_PUE is '0.9': Input should be greater than or equal to 1"),
        ({"CARBON_PUE": "nan"}, "CARBON_PUE is 'nan'"),
        ({"CARBON_COUNTRY_ISO_CODE": "GER"}, "'GER' is not an ISO 3166-1 alpha-3 country code"),
        ({"CARBON_COUNTRY_ISO_CODE": "Germany"}, "CARBON_COUNTRY_ISO_CODE is 'Germany'"),
        ({"CARBON_REGION": "california"}, "CARBON_REGION"),
        ({"CARBON_COUNTRY_ISO_CODE": "USA", "CARBON_REGION": "bavaria"}, "CARBON_REGION"),
        ({"CARBON_SAMPLE_INTERVAL_S": "0"}, "CARBON_SAMPLE_INTERVAL_S is '0'"),
        ({"CARBON_SERIES": "gpu_power,gpu_smell"}, "'gpu_smell' is no series; there are gpu_power"),
        ({"CARBON_SERIES": "all,ram_used"}, "CARBON_SERIES is 'all,ram_used': 'all' is no series"),
        ({"CARBON_LIVE_INTERVAL_S": "-1"}, "CARBON_LIVE_INTERVAL_S is '-1'"),
        ({"CARBON_LIVE_INTERVAL_S": "0.01"}, "must be 0, for never, or at least 0.1 s"),
        ({"CARBON_LIVE_INTERVAL_S": "inf"}, "CARBON_LIVE_INTERVAL_S is 'inf'"),
        ({"CARBON_INTERRUPTED_AFTER_S": "0"}, "CARBON_INTERRUPTED_AFTER_S is '0'"),
        ({"CARBON_USER": "n" * 201}, "at most 200 characters"),
        ({"CARBON_API_URL": "ledger"}, "CARBON_API_URL is 'ledger'"),
        ({"CARBON_API_URL": "ftp://ledger"}, "CARBON_API_URL is 'ftp://ledger'"),
    ],
)
def test_a_bad_value_is_named_with_its_origin(
    environ: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interval_s", ["0", "0.1", "10", "3600"])
def test_live_updates_can_be_turned_off_or_down(interval_s: str, tmp_path: Path) -> None:
    settings = load({"CARBON_LIVE_INTERVAL_S": interval_s}, tmp_path)
    assert settings.live_interval_s == float(interval_s)


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\ncarbon = 2", "\xff"])
def test_a_project_file_of_another_shape_stops_no_training(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert load({}, tmp_path).pue == 1.0


def test_a_directory_in_the_place_of_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    assert load({}, tmp_path).pue == 1.0


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load({}).pue == 1.0


@pytest.mark.parametrize("given", ["relative", ""])
def test_a_state_directory_that_is_not_absolute_is_ignored(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({}, tmp_path).spool_dir == tmp_path / ".local/state/carbon-ledger/spool"


@pytest.mark.parametrize(("key", "kept"), [(" geheim\n", "geheim"), ("schlüssel", None)])
def test_a_key_is_one_that_a_header_can_carry(key: str, kept: str | None, tmp_path: Path) -> None:
    if kept is not None:
        assert load({"CARBON_API_KEY": key}, tmp_path).api_key_text == kept
        return
    with pytest.raises(
        SettingsError, match="CARBON_API_KEY: a key is of printable ASCII"
    ) as caught:
        load({"CARBON_API_KEY": key}, tmp_path)
    assert key not in str(caught.value)


def test_an_unknown_key_of_the_project_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.carbon]\npeu = 1.5\n")
    with pytest.raises(SettingsError, match=r"peu in \[tool.carbon\] of .*pyproject.toml"):
        load({}, tmp_path)


def test_a_bad_key_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.carbon]\napi_key = ['secret']\n")
    with pytest.raises(SettingsError) as caught:
        load({}, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('"all"', SERIES_NAMES),
        ('"none"', ()),
        ("[]", ()),
        ('"gpu_power"', ("gpu_power",)),
        ('" RAM_used,gpu_power,gpu_power,"', ("gpu_power", "ram_used")),
        ('["network_sent", "cpu_power"]', ("cpu_power", "network_sent")),
    ],
)
def test_series_are_chosen_by_name(said: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.carbon]\nseries = {said}\n")
    assert load({}, tmp_path).series == expected


@pytest.mark.parametrize("said", ["3", "true", "[1]", '{gpu_power = "on"}'])
def test_series_that_are_no_names_are_refused(said: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.carbon]\nseries = {said}\n")
    with pytest.raises(SettingsError, match="should be names of series"):
        load({}, tmp_path)
