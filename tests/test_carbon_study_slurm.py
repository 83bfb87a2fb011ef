"""A study as jobs of a Slurm cluster, against a stand-in that really runs the scripts."""

import io
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from carbon.errors import CarbonError
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.study import runner
from carbon.study.folder import opened, read_history
from carbon.study.plan import Configuration, PlannedRun, plan
from carbon.study.results import in_spool
from carbon.study.runner import Wishes
from carbon.study.slurm_script import script
from carbon.study.spec import StudySpec
from tests.fixtures.studies import make_study, statuses
from tests.fixtures.tracking import wait_until


def on_slurm(*words: str, workers: tuple[int, ...] = (1, 2), **fields: Any) -> StudySpec:
    slurm = {"poll_interval_s": 0.05, **fields.pop("slurm", {})}
    command = ["sh", "-c", *words]
    return make_study(
        launcher="slurm", command=command, workers=list(workers), repeats=1, slurm=slurm, **fields
    )


@pytest.fixture(autouse=True)
def _tracked(tracked_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in tracked_env.items():
        if key.startswith("CARBON_"):
            monkeypatch.setenv(key, value)


def submitted(
    spec: StudySpec, tmp_path: Path, settings: Settings, **wishes: bool
) -> tuple[int, str]:
    out = io.StringIO()
    code = runner.run(
        spec, tmp_path / "study", settings, Wishes(**wishes), Console(file=out, width=200)
    )
    return code, out.getvalue()


def options(jobs: Path) -> list[str]:
    return [path.read_text() for path in sorted(jobs.glob("*.options"))]


def test_jobs_follow_on_each_other_in_the_order_of_the_study(
    slurm: Path, settings: Settings, tmp_path: Path
) -> None:
    spec = on_slurm(f"echo {{workers}} >> {tmp_path}/order; exit $(( {{workers}} - 1 ))")
    code, shown = submitted(spec, tmp_path, settings)
    assert code == 1
    assert "as job 1001" in shown
    assert statuses(tmp_path / "study") == {"ddp-x1-r1": ["completed"], "ddp-x2-r1": ["failed"]}
    history = read_history(tmp_path / "study")
    order = [str(run.configuration.workers) for run in history.planned]
    assert (tmp_path / "order").read_text().split() == order
    assert options(slurm) == ["--parsable", "--parsable --dependency=afterany:1001"]
    for run in history.planned:
        attempt = history.last(run)
        report = in_spool(Spool(settings.spool_dir), attempt.run_id)
        assert report is not None
        assert report.world_size == run.configuration.workers
        assert report.status == attempt.status
    again = submitted(spec, tmp_path, settings)
    assert (again[0], "as job" in again[1]) == (1, False)


def test_after_a_failure_the_rest_is_cancelled_where_that_is_asked_for(
    slurm: Path, settings: Settings, tmp_path: Path
) -> None:
    code, _ = submitted(on_slurm("exit 3; {workers}"), tmp_path, settings, stop_on_failure=True)
    assert code == 1
    assert sorted(found for (found,) in statuses(tmp_path / "study").values()) == [
        "failed",
        "interrupted",
    ]
    assert options(slurm)[1] == "--parsable --dependency=afterok:1001 --kill-on-invalid-dep=yes"


def test_jobs_outlive_the_study_and_are_watched_again(
    slurm: Path, settings: Settings, tmp_path: Path
) -> None:
    """Also one whose number was not noted, because the study was killed just then."""
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo {{workers}}"
    spec = on_slurm(wait, slurm={"in_order": False})
    with opened(tmp_path / "study", spec) as (folder, kept):
        runs = plan(kept)
        folder.plan(runs)
        attempt = folder.begin(runs[0])
        path, log = tmp_path / "first.sh", tmp_path / "first.log"
        path.write_text(script(kept, runs[0], str(attempt.run_id), log, {}))
        subprocess.run(["sbatch", "--parsable", str(path)], check=True, capture_output=True)
    wait_until(lambda: (slurm / "1001.state").read_text() == "RUNNING")
    (tmp_path / "go").write_text("")
    code, shown = submitted(spec, tmp_path, settings)
    assert code == 0
    assert "as job 1001, submitted before" in shown
    assert len(options(slurm)) == 2, "nothing is submitted twice"
    assert set(map(tuple, statuses(tmp_path / "study").values())) == {("completed",)}


def test_what_sbatch_refuses_is_said_and_tried_again(
    slurm: Path, settings: Settings, tmp_path: Path
) -> None:
    (slurm / "refuses").write_text("")
    with pytest.raises(CarbonError, match=r"sbatch refused .*: sbatch: error: invalid partition"):
        submitted(on_slurm("exit 0; {workers}"), tmp_path, settings)
    found = list(statuses(tmp_path / "study").values())
    assert sorted(found) == [[], ["interrupted"]]


def test_without_slurm_it_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CarbonError, match="sbatch: No such file or directory; is this a login"):
        submitted(on_slurm("exit 0; {workers}"), tmp_path, settings)


TASK = {"task": "digits", "launcher": "slurm", "strategies": ["ddp", "horovod"]}
ASKS = {
    "partition": "gpu",
    "account": "my project",
    "time": "1:30:00",
    "workers_per_node": 4,
    "gpus_per_worker": 1,
    "cpus_per_worker": 8,
    "options": ["--constraint=a100"],
    "setup": ["module load CUDA"],
}


def lines_of(strategy: str, workers: int) -> list[str]:
    spec = make_study(**TASK, workers=[1, 4, 8], slurm=ASKS)
    run = PlannedRun(Configuration(strategy, workers), 2)
    text = script(spec, run, "THE-ID", Path("/a b/log"), {"OMP_NUM_THREADS": "8"})
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    return text.splitlines()


def test_a_job_asks_for_what_its_workers_need() -> None:
    lines = lines_of("ddp", 8)
    assert lines[0] == "#!/bin/bash"
    assert lines[1:-1] == [
        "#SBATCH --job-name=s-ddp-x8-r2-THE-ID",
        "#SBATCH --output='/a b/log'",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=32",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --partition=gpu",
        "#SBATCH --account='my project'",
        "#SBATCH --time=1:30:00",
        "#SBATCH --exclusive",
        "#SBATCH --constraint=a100",
        "export OMP_NUM_THREADS=8",
        "export CARBON_RUN_ID=THE-ID",
        "export SRUN_CPUS_PER_TASK=32",
        "module load CUDA",
    ]


def test_several_nodes_meet_on_the_first() -> None:
    words = lines_of("ddp", 8)[-1]
    assert words.startswith("srun --kill-on-bad-exit=1 ")
    assert " --nnodes=2 --nproc-per-node=4 " in words
    assert '--rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)' in words
    assert shlex.split(words)[-2:] == ["--name", "ddp x8, repeat 2"]
    horovod = lines_of("horovod", 8)[-1]
    assert " -np 8 -H " in horovod
    assert "s/$/:4/" in horovod


@pytest.mark.parametrize("workers", [1, 4])
def test_one_node_needs_no_meeting(workers: int) -> None:
    words = lines_of("ddp", workers)[-1]
    assert f"--standalone --nproc-per-node={workers} " in words
    assert "rdzv" not in words


def test_the_words_that_a_node_fills_in_are_those_that_are_meant(tmp_path: Path) -> None:
    """Run with a stand-in of each command, the lines of several nodes come out whole."""
    for name, says in {
        "scontrol": "echo n1; echo n2",
        "srun": 'shift; printf "%s\\n" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    horovod = lines_of("horovod", 8)[-1].replace("horovodrun", "srun --x", 1)
    for line, expected in ((lines_of("ddp", 8)[-1], "n1:20042"), (horovod, "n1:4,n2:4")):
        done = subprocess.run(
            ["bash", "-c", line[line.index("srun") :]],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "42"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout.replace("--rdzv-endpoint=", "").splitlines()


def test_a_dry_run_shows_the_scripts_and_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    spec = make_study(**TASK, workers=[1, 4], repeats=1, slurm=ASKS)
    shown = runner.dry_run(spec, tmp_path / "study", settings, Wishes())
    assert sum(line == "#!/bin/bash" for line in shown) == 4
    first, second, *_ = [line.partition(": sbatch ")[2] for line in shown if ": sbatch " in line]
    assert first.startswith(f"--parsable {tmp_path}/study/jobs/")
    assert second.startswith("--parsable --dependency=afterany:JOB_BEFORE ")
    assert not (tmp_path / "study").exists()
