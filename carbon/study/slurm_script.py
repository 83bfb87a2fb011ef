"""The batch script of one run on a Slurm cluster (sbatch(1), srun(1))."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from carbon.attribution import run_id
from carbon.study import commands
from carbon.study.plan import PlannedRun
from carbon.study.spec import StudySpec
from carbon.study.strategies import launcher_of

_HOSTS = 'scontrol show hostnames "$SLURM_JOB_NODELIST"'
# A port that two jobs on one node do not share, below those that the system hands out.
_RENDEZVOUS = '"$(' + _HOSTS + ' | head -n 1):$((20000 + SLURM_JOB_ID % 10000))"'


def script(
    spec: StudySpec, run: PlannedRun, the_run: str, log: Path, variables: Mapping[str, str]
) -> str:
    """Return the script.

    Args:
        spec: the study.
        run: one of its runs.
        the_run: the run's id in the ledger, which every process of the job has.
        log: where its output goes.
        variables: what is set beside the variables of whoever submits it.
    """
    exported = {**variables, run_id.VARIABLE: the_run}
    asked = _asked(spec, run)
    if (cpus := asked["cpus-per-task"]) is not None:
        exported["SRUN_CPUS_PER_TASK"] = str(cpus)  # srun does not inherit it since Slurm 22.05.
    named = {"job-name": job_name(spec, run, the_run), "output": log}
    lines = [
        "#!/bin/bash",
        *(
            f"#SBATCH --{option}={shlex.quote(str(value))}"
            for option, value in {**named, **asked}.items()
            if value is not None
        ),
        *(["#SBATCH --exclusive"] if spec.slurm.exclusive else []),
        *(f"#SBATCH {option}" for option in spec.slurm.options),
        *(f"export {name}={shlex.quote(value)}" for name, value in exported.items()),
        *spec.slurm.setup,
        _command(spec, run),
    ]
    return "\n".join(lines) + "\n"


def job_name(spec: StudySpec, run: PlannedRun, the_run: str) -> str:
    """Return the name of the job, which no other job has."""
    return f"{spec.name}-{run.key}-{the_run}".replace(" ", "_")


def _asked(spec: StudySpec, run: PlannedRun) -> dict[str, str | int | None]:
    """Return what the job asks for; None is the cluster's default."""
    slurm, workers = spec.slurm, run.configuration.workers
    nodes = slurm.nodes(workers)
    on_a_node = workers // nodes
    return {
        "nodes": nodes,
        # One launcher on each node, which starts the workers there.
        "ntasks-per-node": 1,
        "cpus-per-task": slurm.cpus_per_worker and slurm.cpus_per_worker * on_a_node,
        "gpus-per-node": slurm.gpus_per_worker * on_a_node or None,
        "partition": slurm.partition,
        "account": slurm.account,
        "time": slurm.time,
    }


def _command(spec: StudySpec, run: PlannedRun) -> str:
    """Return the last line; the words that the node's shell has to fill in are not quoted."""
    strategy, workers = run.configuration.strategy, run.configuration.workers
    if spec.command is not None:
        # Once, on the first node: a command that wants all of them calls srun by itself.
        return shlex.join(commands.tracked(spec, run))
    nodes = spec.slurm.nodes(workers)
    worker = shlex.join(commands.trainer(strategy, workers, commands.arguments(spec, run)))
    if nodes > 1 and launcher_of(strategy) == "torchrun":
        on_a_node = [f"--nnodes={nodes}", f"--nproc-per-node={workers // nodes}"]
        rendezvous = f'--rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint={_RENDEZVOUS}'
        torchrun = shlex.join([*commands.TORCHRUN, *on_a_node])
        return f"srun --kill-on-bad-exit=1 {torchrun} {rendezvous} {worker}"
    if nodes > 1 and launcher_of(strategy) == "horovodrun":
        hosts = f"$({_HOSTS} | sed 's/$/:{workers // nodes}/' | paste -sd, -)"
        start = shlex.join([commands.horovodrun(), "-np", str(workers)])
        return f'{start} -H "{hosts}" {shlex.quote(sys.executable)} {worker}'
    return "srun --kill-on-bad-exit=1 " + shlex.join(commands.of_run(spec, run))
