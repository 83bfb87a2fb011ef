"""Who runs it: by the setting, by the batch system, by the account, or unknown."""

import getpass
import os
import subprocess
import sys

import pytest

from carbon.schema import RunReport
from carbon.spool.merge import merge
from carbon.spool.part import Part
from carbon.tracking.surroundings import user
from tests.fixtures.api import ROOT, clean_environment
from tests.patience import PATIENCE_S
from tests.test_carbon_spool_part import EVENTS


@pytest.fixture(autouse=True)
def _no_batch_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_USER", raising=False)


@pytest.mark.parametrize(("named", "found"), [("ann", "ann"), ("", None)])
def test_the_setting_wins_and_may_name_nobody(
    named: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_USER", "bob")
    assert user(named) == found


def test_the_account_is_the_one_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    account = getpass.getuser()
    monkeypatch.setenv("USER", "somebody-else")
    assert user(None) == account
    monkeypatch.setenv("SLURM_JOB_USER", "bob")
    assert user(None) == "bob"


def test_an_account_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1_999_999_999)
    assert user(None) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (b"  ann ", "ann"),
        (b" ", None),
        (b"\xff\xfe", "??"),
        (b"n" * 500, "n" * 150),
        ("\U0001f680".encode() * 500, "\U0001f680" * 150),
        ("ärger".encode(), "ärger"),
    ],
)
def test_any_name_becomes_one_that_a_report_can_hold(
    given: bytes, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environb, b"SLURM_JOB_USER", given)
    assert user(None) == found
    part = Part.replay(EVENTS, is_alive=False)
    assert part is not None
    report = merge([part]).model_copy(update={"user": user(None)})
    assert RunReport.model_validate_json(report.model_dump_json()).user == found


def test_a_part_of_an_earlier_version_names_nobody() -> None:
    part = Part.replay([event for event in EVENTS if event.kind != "run_by"], is_alive=False)
    assert part is not None
    assert merge([part]).user is None


TRACK = """
import carbon
with carbon.track("p") as run:
    pass
print(run.report.user)
"""


@pytest.mark.parametrize(("variable", "said"), [({}, None), ({"CARBON_USER": ""}, "None")])
def test_a_tracked_run_says_who_ran_it(
    variable: dict[str, str], said: str | None, tmp_path: os.PathLike[str]
) -> None:
    environ = {
        **clean_environment(),
        "CARBON_SPOOL_DIR": str(tmp_path),
        "CARBON_API_URL": "http://127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
        **variable,
    }
    done = subprocess.run(
        [sys.executable, "-c", TRACK],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.strip() == (said or user(None) or "None")
