"""Which process the ranks of a launch have in common."""

import os
import shlex
import subprocess
import sys

import pytest

from carbon.attribution.launcher_process import LauncherProcess, launcher_process
from carbon.attribution.topology import Topology
from tests.patience import PATIENCE_S
from tests.test_carbon_attribution_topology import HOROVOD, MPICH, OPENMPI_ONE_NODE, SLURM_ONE_NODE

Env = dict[str, str]

SAY = """
import os
from carbon.attribution.launcher_process import launcher_process
from carbon.attribution.topology import detect
print(launcher_process(detect(os.environ)).identity)
"""

# The shell stays: it has something to do afterwards.
IN_A_SHELL = '"$@"; exit $?'


def clean() -> Env:
    """This process's variables without those of a launcher that may have started it."""
    launchers = ("SLURM_", "OMPI_", "PMI", "MPI_", "HOROVOD_")
    return {k: v for k, v in os.environ.items() if not k.startswith(launchers)}


def said(command: list[str], env: Env, *, has_own_session: bool = False) -> str:
    done = subprocess.run(
        command,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        start_new_session=has_own_session,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_processes_with_the_same_parent_name_it_alike_through_a_clock_step() -> None:
    """The second process sees a clock that was set back by a second after the boot."""
    script = """
import sys
import psutil
if sys.argv[1] == "step":
    boot_time = psutil.boot_time()
    psutil._pslinux.boot_time = lambda: boot_time - 1
from carbon.attribution.launcher_process import launcher_process
from carbon.attribution.topology import Topology
print(launcher_process(Topology('node')))
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", script, step], capture_output=True, text=True, check=True
        ).stdout
        for step in ("no", "step")
    ]
    assert said[0] == said[1]
    assert f"identity='{os.getpid()}/" in said[0]


def test_the_first_process_of_a_container_has_a_launcher_nonetheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 2**22 + 1)  # Beyond the largest process id.
    assert launcher_process(Topology("node")) == LauncherProcess(f"{2**22 + 1}", 0)


ONE_RANK = {
    "openmpi": (OPENMPI_ONE_NODE, ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"]),
    "slurm": (SLURM_ONE_NODE, ["SLURM_PROCID", "SLURM_LOCALID"]),
    "mpich": (MPICH, ["PMI_RANK", "MPI_LOCALRANKID"]),
    "torchrun": (
        {"TORCHELASTIC_RUN_ID": "job", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        ["RANK", "LOCAL_RANK"],
    ),
}


@pytest.mark.parametrize("launcher", ONE_RANK)
def test_what_a_rank_has_around_it_is_not_its_launcher(launcher: str) -> None:
    """A script picks the rank's GPU, another one its environment; here this test launches."""
    variables, ranks = ONE_RANK[launcher]
    wrapped = ["sh", "-c", IN_A_SHELL, "gpu", "sh", "-c", IN_A_SHELL, "env"]
    identities = {
        said(
            [*wrapped, sys.executable, "-c", SAY],
            clean() | variables | dict.fromkeys(ranks, str(rank)),
        )
        for rank in range(2)
    }
    (identity,) = identities
    assert identity.startswith(f"{os.getpid()}/")


def test_a_rank_that_launches_ranks_of_its_own_is_their_launcher() -> None:
    """As in a pod whose variables are those of a process alone, and which starts torchrun."""
    pod = clean() | {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "pod", "MASTER_PORT": "1"}
    launch = f"""
import os, subprocess, sys
print(os.getpid())
for rank in "01":
    own = {{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}}
    subprocess.run([sys.executable, "-c", {SAY!r}], env={{**os.environ, **own}}, check=True)
"""
    pid, *identities = said([sys.executable, "-u", "-c", launch], pod).split()
    assert len(identities) == 2
    assert len(set(identities)) == 1
    assert identities[0].startswith(f"{pid}/")


@pytest.mark.parametrize("shell", ["exec ", ""], ids=["shell is replaced", "shell stays"])
def test_horovod_has_processes_without_any_variable_around_each_rank(shell: str) -> None:
    """horovodrun 0.28.1: a process with a session of its own, in it a shell, in it `env`."""
    identities = set()
    for rank in "01":
        own = HOROVOD | {"HOROVOD_RANK": rank, "HOROVOD_LOCAL_RANK": rank}
        words = ["env", *(f"{k}={v}" for k, v in own.items()), sys.executable, "-c", SAY]
        line = f"{shell}{shlex.join(words)}" + ("" if shell else "; exit $?")
        middleman = f"import subprocess; subprocess.run({line!r}, shell=True, check=True)"
        command = [sys.executable, "-c", middleman]
        identities.add(said(command, clean(), has_own_session=True))
    (identity,) = identities
    assert identity.startswith(f"{os.getpid()}/")


@pytest.mark.parametrize(
    ("variables", "is_one_run"),
    [
        (SLURM_ONE_NODE, True),
        (SLURM_ONE_NODE | {"SLURM_STEP_ID": "1"}, False),
        (SLURM_ONE_NODE | {"SLURM_SUBMIT_HOST": "another"}, False),
        (OPENMPI_ONE_NODE, False),
    ],
    ids=["requeued", "another step", "another cluster of that name", "a name that came back"],
)
def test_a_requeued_slurm_job_goes_on_with_its_runs(variables: Env, is_one_run: bool) -> None:
    """Each time a process of its own, without the variables, launches."""
    name = """
import os
from carbon.attribution.naming import name_run
from carbon.schema import RunSpec
from carbon.attribution.topology import detect
print(name_run(RunSpec(project="digits"), detect(os.environ), os.environ)[0])
"""
    run_ids = set()
    for own in (
        SLURM_ONE_NODE if "SLURM_JOB_ID" in variables else variables,
        variables | {"SLURM_RESTART_COUNT": "1"},
    ):
        rank = ["env", *(f"{k}={v}" for k, v in own.items()), sys.executable, "-c", name]
        run_ids.add(said(["sh", "-c", IN_A_SHELL, "launcher", *rank], clean()))
    assert len(run_ids) == (1 if is_one_run else 2)
