"""This machine, as the runs of a study find it."""

import os
import subprocess
import sys
from typing import Any

import pytest

from carbon.attribution import enclosing_run
from carbon.attribution.run_id import new_run_id
from carbon.settings import Settings
from carbon.study import machine
from tests.fixtures.nvml import MakeGpus
from tests.fixtures.studies import make_study


@pytest.mark.parametrize(
    ("fields", "environ", "threads"),
    [
        ({"workers": [1, 2, 4]}, {}, 2),
        ({"workers": [1]}, {}, 8),
        ({"workers": [64]}, {}, 1),
        ({"workers": [1, 2]}, {"OMP_NUM_THREADS": "3"}, 3),
        ({"workers": [1, 2]}, {"OMP_NUM_THREADS": "many"}, 4),
        ({"threads_per_worker": 5}, {"OMP_NUM_THREADS": "3"}, 5),
        ({"launcher": "slurm", "slurm": {"cpus_per_worker": 7}}, {"OMP_NUM_THREADS": "3"}, 7),
        ({"launcher": "slurm"}, {"OMP_NUM_THREADS": "3"}, None),
    ],
)
def test_every_worker_has_as_many_threads_as_any_other(
    fields: dict[str, Any],
    environ: dict[str, str],
    threads: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    study = {"command": ["work", "{workers}"], **fields}
    assert machine.with_threads(make_study(**study), environ).threads_per_worker == threads


def test_all_series_are_kept_unless_the_user_chose(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(enclosing_run.VARIABLE, "1@elsewhere")
    spec, the_run = make_study(threads_per_worker=3), new_run_id()
    environ = machine.environment(spec, settings, the_run)
    assert environ["CARBON_SERIES"] == "all"
    assert environ["OMP_NUM_THREADS"] == "3"
    assert environ["CARBON_RUN_ID"] == str(the_run)
    assert enclosing_run.VARIABLE not in environ
    assert environ["PATH"] == os.environ["PATH"]
    chosen = Settings.model_validate({**settings.model_dump(), "series": "none"})
    assert "CARBON_SERIES" not in machine.set_for_runs(spec, chosen)


def test_the_processes_of_a_run_are_found_at_any_depth() -> None:
    the_run = new_run_id()
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1); input()'])"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", script],
        env={**os.environ, "CARBON_RUN_ID": str(the_run), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(machine.processes_of(the_run)) == 2
        assert process.pid in machine.processes_of(the_run)
        process.communicate(b"\n")
    assert machine.processes_of(the_run) == []


def test_too_many_workers_for_the_cores_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 4)
    assert machine.overcrowding(make_study(workers=[4]), settings) == []
    (line,) = machine.overcrowding(make_study(workers=[1, 8]), settings)
    assert line.startswith("8 workers on 4 cores")


def test_too_many_workers_for_the_gpus_are_named(
    settings: Settings, simulated_gpus_here: MakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated_gpus_here(2)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    assert machine.overcrowding(make_study(workers=[2]), settings) == []
    (line,) = machine.overcrowding(make_study(workers=[3]), settings)
    assert line.startswith("3 workers on 2 GPUs")
