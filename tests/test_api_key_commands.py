"""`carbon keys`: what it makes, shows and takes back, and what it says when it cannot."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api import key_commands
from api.app import create_app
from tests.factories import make_report
from tests.fixtures.api import ROOT, clean_environment
from tests.fixtures.ledgers import Ledgers
from tests.keys import bearing
from tests.patience import PATIENCE_S

ELSEWHERE = "servers that run refuse it within seconds"

Captured = pytest.CaptureFixture[str]


def run(ledgers: Ledgers, *arguments: str, status: int = 0) -> None:
    command, *rest = arguments
    assert key_commands.main([command, "--database", ledgers.url(), *rest]) == status


def create(ledgers: Ledgers, capsys: Captured, *arguments: str) -> tuple[str, str]:
    """Make a key; return it and what was said of it."""
    run(ledgers, "create", *arguments)
    said = capsys.readouterr()
    return said.out.removesuffix("\n"), said.err


def lines_of_list(ledgers: Ledgers, capsys: Captured) -> list[list[str]]:
    run(ledgers, "list")
    return [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]


def test_the_key_alone_is_on_standard_output(ledgers: Ledgers, capsys: Captured) -> None:
    text, said = create(ledgers, capsys, "--project", "weather", "--name", "Ann's laptop")
    key_id = text.split("_")[1]
    assert re.fullmatch(r"cl_[0-9a-z]{10}_[0-9A-Za-z]{40}", text)
    assert said.splitlines()[0] == (
        f"carbon keys: key {key_id} may ingest and read in 'weather'. It is shown this once; "
        "whoever sends reports or reads sets it as CARBON_API_KEY"
    )
    assert "there is no run of project 'weather' yet" in said
    assert "every server on it now asks for one" in said
    assert text not in said


def test_it_does_what_was_said_of_it(ledgers: Ledgers, capsys: Captured) -> None:
    mine, _ = create(ledgers, capsys, "--project=weather", "--project=ocean")
    everything, said = create(ledgers, capsys, "--scope=admin")
    assert "may do everything in every project, also those to come" in said
    assert "asks for one" not in said
    with TestClient(create_app(ledgers.settings())) as client:
        for project, key, status in [
            ("weather", mine, 201),
            ("ocean", mine, 201),
            ("ice", mine, 403),
            ("ice", everything, 201),
        ]:
            report = make_report(project=project)
            path = f"/v1/runs/{report.run_id}"
            body = report.model_dump_json()
            assert client.put(path, content=body, headers=bearing(key)).status_code == status
        projects = client.get("/v1/projects", headers=bearing(mine)).json()["items"]
        assert sorted(line["project"] for line in projects) == ["ocean", "weather"]
    _, said = create(ledgers, capsys, "--project=weather")
    assert "there is no run" not in said


def test_the_list_has_no_secrets(ledgers: Ledgers, capsys: Captured) -> None:
    run(ledgers, "list")
    said = capsys.readouterr()
    assert said.out == ""
    assert "has no keys; make one with `carbon keys create`" in said.err
    day = (datetime.now(UTC) + timedelta(days=30)).date()
    one, _ = create(ledgers, capsys, "--project=a", "--project=b", f"--expires={day}")
    other, _ = create(ledgers, capsys, "--scope=read", "--name=\x1b[31mred")
    run(ledgers, "revoke", other.split("_")[1])
    capsys.readouterr()
    head, first, second = lines_of_list(ledgers, capsys)
    assert head == ["ID", "NAME", "PROJECTS", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "STATE"]
    assert first[:4] == [one.split("_")[1], "-", "a, b", "ingest, read"]
    assert first[5:] == [str(day), "-", "active"]
    assert second[:4] == [other.split("_")[1], "?[31mred", "all", "read"]
    assert second[5:7] == ["-", "-"]
    assert second[7].startswith("revoked 20")


def test_a_key_is_revoked_by_its_id_or_itself_once(ledgers: Ledgers, capsys: Captured) -> None:
    one, _ = create(ledgers, capsys)
    other, _ = create(ledgers, capsys)
    key_id = one.split("_")[1]
    run(ledgers, "revoke", one)
    said = capsys.readouterr().err
    assert (
        said == f"carbon keys: key {key_id} is revoked; servers that run refuse it within seconds\n"
    )
    run(ledgers, "revoke", key_id)
    assert "already" in capsys.readouterr().err
    run(ledgers, "revoke", other.split("_")[1])
    assert "no key is left: a server on a loopback address" in capsys.readouterr().err
    with TestClient(create_app(ledgers.settings())) as client:
        assert client.get("/v1/summary").status_code == 200


REFUSED = [
    (["revoke", "0000000000"], 1, "there is no key '0000000000' in "),
    (["revoke", "cl_0123456789_wrongwrong"], 1, "there is no key 'cl_0123456789_***' in "),
    (["create", "--expires", "2020-01-01"], 1, "--expires 2020-01-01 has passed; name a day to"),
    (["create", "--expires", "9999-12-31"], 1, "--expires 9999-12-31 is the end of time; leave"),
    (["create", "--expires", "soon"], 2, "'soon' is not a date such as 2030-12-31"),
    (["create", "--scope", "write"], 2, "invalid choice: 'write'"),
    (["create", "--project", ""], 2, "'': String should have at least 1 character"),
    (["create", "--project", "a" * 201], 2, "String should have at most 200 characters"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), REFUSED)
def test_what_cannot_be_done_changes_nothing(
    ledgers: Ledgers, capsys: Captured, arguments: list[str], status: int, message: str
) -> None:
    if status == 2:
        with pytest.raises(SystemExit) as caught:
            run(ledgers, *arguments)
        assert caught.value.code == 2
    else:
        run(ledgers, *arguments, status=1)
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert "wrongwrong" not in said.err
    run(ledgers, "list")
    assert "has no keys" in capsys.readouterr().err


def test_the_command_passes_everything_on(tmp_path: Path) -> None:
    def carbon(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "carbon", "keys", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=ROOT,
            env=clean_environment() | {"CARBON_DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db"},
        )

    made = carbon(
        *("create", "--project", "a", "--project", "-b", "--scope", "read"),
        *("--name", "Ann", "--expires", "2999-12-31"),
    )
    assert made.returncode == 0, made.stderr
    key_id = made.stdout.split("_")[1]
    assert f"key {key_id} may read in 'a', '-b', until 2999-12-31 in UTC" in made.stderr
    assert carbon("revoke", key_id).returncode == 0
    assert re.search(rf"{key_id}  Ann +a, -b +read .*revoked", carbon("list").stdout)


def test_the_audit_log_tells_each_project_of_its_keys(
    ledgers: Ledgers, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARBON_USER", "ann")
    everything, _ = create(ledgers, capsys, "--scope=admin")
    both, _ = create(
        ledgers, capsys, "--project=a", "--project=b", "--name=n", "--expires=2099-01-01"
    )
    both_id = both.split("_")[1]
    run(ledgers, "revoke", both_id)
    run(ledgers, "revoke", both_id)  # As before: nothing to log.
    with TestClient(create_app(ledgers.settings())) as client:
        items = client.get("/v1/audit", headers=bearing(everything)).json()["items"]
    said = capsys.readouterr()
    assert f"key {both_id} was revoked at" in said.err
    assert [(entry["action"], entry["project"]) for entry in reversed(items)] == [
        ("create", None),
        ("create", "a"),
        ("create", "b"),
        ("revoke", "a"),
        ("revoke", "b"),
    ]
    terms = {"name": "n", "scopes": ["ingest", "read"], "expires_at": "2099-01-02T00:00:00Z"}
    for entry in items:
        assert entry["actor"].startswith("carbon keys (ann on ")
        assert entry["runs"] == 0
    assert items[0]["changes"] == {f"keys/{both_id}": {"before": terms, "after": None}}
    assert items[2]["changes"] == {f"keys/{both_id}": {"before": None, "after": terms}}
    assert everything not in str(items)
