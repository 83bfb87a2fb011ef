"""Files of what the API exports: whole or not there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carbon.cli import app
from carbon.commands.exporting import write
from carbon.errors import ApiUnreachableError, UsageError
from carbon.rest.client import Client
from carbon.schema import DeviceReport, NodeReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.test_carbon_cli import Env, carbon, is_one_line


def cut_short() -> Iterator[bytes]:
    yield b"run_id\r\n"
    raise ApiUnreachableError("gone")


def test_a_file_is_replaced_when_all_of_it_is_there(tmp_path: Path) -> None:
    output = tmp_path / "runs.csv"
    write([b"a", b"b"], output)
    assert output.read_bytes() == b"ab"
    with pytest.raises(ApiUnreachableError):
        write(cut_short(), output)
    assert output.read_bytes() == b"ab"
    write([b"c"], output)
    assert output.read_bytes() == b"c"
    assert list(tmp_path.iterdir()) == [output]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "null"
    pipe.symlink_to("/dev/null")
    write([b"a"], pipe)
    assert pipe.is_char_device()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none/runs\.csv cannot be written: No such file"):
        write([b"a"], tmp_path / "none" / "runs.csv")


def test_every_option_narrows_what_is_exported(shared_api: LiveApi) -> None:
    node = NodeReport(hostname="gpu-7", devices=[DeviceReport(uuid="a", name="H100")])
    kept = make_report(
        name="the rare one",
        strategy="fsdp",
        nodes=[node],
        country_iso_code="FRA",
        gpu_energy_kwh=5.0,
    )
    with Client(shared_api.settings) as client:
        for report in (kept, make_report(), make_report(gpu_energy_kwh=9.0)):
            client.put_run(report)

    def exported(*options: str) -> list[str]:
        command = ["export", "--format", "jsonl", *options]
        done = CliRunner().invoke(app, command, env={"CARBON_API_URL": shared_api.url})
        assert done.exit_code == 0, done.output
        return [json.loads(line)["run_id"] for line in done.stdout.splitlines()]

    for options in (
        ["--strategy", "fsdp"],
        ["--host", "gpu-7"],
        ["--gpu", "h100"],
        ["--country", "FRA"],
        ["--search", "rare"],
        ["--min-energy", "4", "--max-energy", "6"],
    ):
        assert exported(*options) == [str(kept.run_id)], options
    by_energy = exported("--sort", "energy_kwh")
    assert by_energy[1] == str(kept.run_id)
    assert exported("--sort", "-energy_kwh") == by_energy[::-1]


def test_the_command_exports_what_is_asked_for(
    tracked_env: Env, shared_api: LiveApi, tmp_path: Path
) -> None:
    env = tracked_env | {"CARBON_API_URL": shared_api.url}
    with Client(shared_api.settings) as client:
        kept = make_report(project="p", tags={"owner": "ann"})
        for report in (kept, make_report(project="p"), make_report(project="q", user="bob")):
            client.put_run(report)
    output = tmp_path / "runs.csv"
    done = carbon("export", "--project", "p", "--tag", "owner:ann", "-o", str(output), env=env)
    assert (done.returncode, done.stderr) == (0, "")
    lines = output.read_text().splitlines()
    assert len(lines) == 2
    assert str(kept.run_id) in lines[1]
    done = carbon("export", "--format", "jsonl", env=env)
    assert done.stdout.count("\n") == 3
    done = carbon("export", "--format", "jsonl", "--user", "bob", env=env)
    assert done.stdout.count('"project":"q"') == done.stdout.count("\n") == 1
    done = carbon("export", "--since", "yesterday", "-o", str(tmp_path / "no.csv"), env=env)
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert "since" in done.stderr
    assert not (tmp_path / "no.csv").exists()
    assert carbon("export", "--format", "xml", env=env).returncode == 2
