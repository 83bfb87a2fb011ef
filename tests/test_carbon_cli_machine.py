"""`carbon doctor` and `carbon baseline` as a user calls them, rightly and wrongly."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from carbon.attribution.run_id import new_run_id
from carbon.attribution.topology import detect
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.tracking.baseline import load
from tests.fixtures.api import serving
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.tracking import closed_port
from tests.test_carbon_cli import Env, carbon, is_one_line

pytestmark = pytest.mark.usefixtures("known_processor")

HOSTNAME = detect({}).hostname


@pytest.fixture
def unset_env(tracked_env: Env, tmp_path: Path) -> Env:
    """The environment of a user who has configured nothing."""
    plain = {key: value for key, value in tracked_env.items() if not key.startswith("CARBON_")}
    # Nobody's ledger by chance.
    url = f"http://127.0.0.1:{closed_port()}"
    return plain | {"XDG_STATE_HOME": str(tmp_path / "state"), "CARBON_API_URL": url}


@pytest.fixture
def used_env(unset_env: Env, tmp_path: Path, found_processor: Path) -> Env:
    """The same after a first run, so that the processor need not be found out."""
    spool = tmp_path / "state" / "carbon-ledger" / "spool"
    spool.mkdir(parents=True)
    shutil.copy(found_processor, spool)
    return unset_env


def diagnosed(env: Env, code: int = 0) -> dict[str, Any]:
    done = carbon("doctor", "--json", env=env)
    assert (done.returncode, done.stderr) == (code, "")
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["is_sound"] == (code == 0)
    return document


def levels(document: dict[str, Any]) -> dict[str, str]:
    return {each["subject"]: each["level"] for each in document["findings"]}


# ---------------------------------------------------------------------------------------- doctor


def test_with_nothing_configured_the_doctor_says_what_is_missing(unset_env: Env) -> None:
    done = carbon("doctor", env=unset_env)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("cpu", "ram", "±", "CARBON_COUNTRY_ISO_CODE", "carbon baseline", "carbon serve"):
        assert word in done.stdout
    document = diagnosed(unset_env)
    assert {device["component"] for device in document["measured"]} >= {"cpu", "ram"}
    assert levels(document)["Spool"] == "good"


def test_a_terminal_that_cannot_write_it_gets_what_it_can(used_env: Env) -> None:
    done = carbon("doctor", env=used_env | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "codecarbon" in done.stdout


def test_gpus_are_listed_with_their_methods(used_env: Env, simulated_gpus: MakeGpus) -> None:
    gpus = simulated_gpus(2)
    gpus.change(1, energy_error=3)
    document = diagnosed(used_env | gpus.env)
    measured = {device["key"]: device["method"] for device in document["measured"]}
    assert measured[f"gpu:{gpus.uuids[0]}"] == "nvml_counter"
    assert measured[f"gpu:{gpus.uuids[1]}"] == "nvml_power"


def test_a_driver_that_fails_is_told(used_env: Env, simulated_gpus: MakeGpus) -> None:
    document = diagnosed(used_env | simulated_gpus(1, init_error=18).env)
    (gpus,) = [each for each in document["findings"] if each["subject"] == "NVIDIA GPUs"]
    assert "driver and library versions differ" in gpus["text"]


def test_a_spool_that_cannot_be_written_is_an_error(used_env: Env, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    document = diagnosed(used_env | {"CARBON_SPOOL_DIR": str(tmp_path / "file" / "spool")}, 1)
    assert levels(document)["Spool"] == "bad"


def test_the_api_and_the_key_are_tried(used_env: Env, tmp_path: Path) -> None:
    with serving(tmp_path, CARBON_API_KEY="right") as api:
        for key, level in (("right", "good"), ("wrong", "note"), ("", "note")):
            env = used_env | {"CARBON_API_URL": api.url, "CARBON_API_KEY": key}
            found = levels(diagnosed(env))
            assert (found["API"], found["API key"]) == ("good", level)


def test_a_wrong_setting_is_one_line(used_env: Env) -> None:
    done = carbon("doctor", "--json", env=used_env | {"CARBON_PUE": "x"})
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done.stderr)


# -------------------------------------------------------------------------------------- baseline


def test_a_baseline_is_measured_kept_and_known_to_the_doctor(
    tracked_env: Env, settings: Settings, simulated_gpus: MakeGpus
) -> None:
    # Of all GPUs, whatever this process may use; forced, as a machine that runs tests is not idle.
    gpus = simulated_gpus(2, utilization_percent=0)
    env = tracked_env | gpus.env
    done = carbon("baseline", "--duration", "1", "--force", env=env | {"CUDA_VISIBLE_DEVICES": "1"})
    assert done.returncode == 0, done.stderr
    assert "nvml_counter" in done.stdout
    kept = load(settings.spool_dir, HOSTNAME)
    assert kept is not None
    keys = {device.key for device in kept.devices}
    assert keys == {*(f"gpu:{uuid}" for uuid in gpus.uuids), "cpu", "ram"}
    assert all(device.power_w > 0 for device in kept.devices)
    document = diagnosed(env)
    assert all(device["idle_power_w"] is not None for device in document["measured"])


def test_a_machine_that_is_not_idle_is_refused_without_force(
    tracked_env: Env, settings: Settings, simulated_gpus: MakeGpus
) -> None:
    env = tracked_env | simulated_gpus(1, utilization_percent=90).env
    done = carbon("baseline", "--duration", "1", env=env)
    assert done.returncode == 1
    assert "90 % busy" in done.stderr
    assert "--force" in done.stderr
    assert load(settings.spool_dir, HOSTNAME) is None


def test_a_run_that_is_tracked_is_in_the_way(tracked_env: Env, settings: Settings) -> None:
    run_id = new_run_id()
    part = Spool(settings.spool_dir).open_part(run_id, "part")
    done = carbon("baseline", "--duration", "1", env=tracked_env)
    part.close()
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert str(run_id) in done.stderr


def test_where_it_cannot_be_kept_nothing_is_measured(tracked_env: Env, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = tracked_env | {"CARBON_SPOOL_DIR": str(tmp_path / "file")}
    done = carbon("baseline", "--duration", "3600", env=env)
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert "CARBON_SPOOL_DIR" in done.stderr


@pytest.mark.parametrize("duration", ["0", "-1", "nan", "1e9", "soon"])
def test_a_duration_that_cannot_be_meant_is_refused(duration: str, tracked_env: Env) -> None:
    done = carbon("baseline", "--duration", duration, env=tracked_env)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
