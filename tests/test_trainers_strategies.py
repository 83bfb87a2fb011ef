"""The strategies: what each refuses, and that two workers do the work of one."""

import os
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch

from carbon import schema
from carbon.errors import UsageError
from trainers.strategies import STRATEGIES, make_strategy

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
OF_TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}

# In double precision the order in which gradients are added up cannot hide a wrong factor. With 193
# examples the last global batch holds a single one, so that the second worker's shard is empty.
SHARED_TRAINING = """
import contextlib, os, sys, time
import torch
from trainers.loop import Plan, fit
from trainers.strategies import make_strategy
from trainers.tasks.base import Examples
from trainers.tasks.digits import Digits

class Task(Digits):
    def model(self):
        self.made = super().model().double()
        return self.made

    def data(self):
        training, test = super().data()
        training = training[torch.arange(193)]
        return (Examples(part.inputs.double(), part.targets) for part in (training, test))

class Run:
    def __init__(self):
        self.logged = []
    def epochs(self, items, *, start=0):
        return iter(items)
    def log(self, **metrics):
        self.logged.append(metrics)

def comms():
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            yield open(f"/proc/self/task/{task}/comm").read()

for name in sys.argv[2:]:
    run, task = Run(), Task()
    with make_strategy(name, os.environ) as strategy:
        fit(task, strategy, Plan(2, 32, 1e-3, 0), run)
        seen = {"threads": torch.get_num_threads(), "metrics": run.logged}
        seen["full_state"] = strategy.full_state()
    # The kernel lists a thread for a moment after it was joined.
    give_up_s = time.monotonic() + 10
    while (gloo := [comm for comm in comms() if "gloo" in comm]) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    seen["gloo"] = gloo
    seen["weights"] = task.made.state_dict()
    path = f"{sys.argv[1]}/{name}-{strategy.world_size}-{strategy.rank}.pt"
    torch.save(seen, path)
"""

Trainings = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """What each worker saw, by strategy, number of workers and rank: `ddp-2-1` is the last one."""
    folder = tmp_path_factory.mktemp("shared")
    script = folder / "shared_training.py"
    script.write_text(SHARED_TRAINING)
    environ = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    alone = [sys.executable, str(script), str(folder), "single", "ddp"]
    together = [*TORCHRUN, "--nproc-per-node=2", str(script), str(folder), "ddp"]
    for command in (alone, together):
        subprocess.run(command, env=environ, check=True, timeout=120)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.mark.parametrize("name", ["ddp-1-0", "ddp-2-0", "ddp-2-1"])
def test_any_number_of_workers_reaches_the_weights_and_metrics_of_one(
    trainings: Trainings, name: str
) -> None:
    alone, shared = trainings["single-1-0"], trainings[name]
    torch.testing.assert_close(shared["weights"], alone["weights"], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(shared["metrics"], alone["metrics"], rtol=1e-8, atol=1e-10)


def test_two_workers_hold_the_very_same_model(trainings: Trainings) -> None:
    first, second = trainings["ddp-2-0"], trainings["ddp-2-1"]
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)


def test_every_worker_computes_with_one_thread(trainings: Trainings) -> None:
    threads = {name: seen["threads"] for name, seen in trainings.items()}
    assert threads == {"single-1-0": 1, "ddp-1-0": 1, "ddp-2-0": 1, "ddp-2-1": 1}


def test_no_thread_of_gloo_outlives_the_strategy(trainings: Trainings) -> None:
    """One that does may abort the process at its end; `strategies/process_group.py` says why."""
    assert len(trainings) == 4
    assert [thread for seen in trainings.values() for thread in seen["gloo"]] == []


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    with make_strategy("single", {}):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", [*get_args(schema.Strategy), "dpp", ""])
def test_a_strategy_there_is_not_is_refused_with_those_there_are(name: str) -> None:
    if name in STRATEGIES:
        assert make_strategy(name, {}).name == name
        return
    why = "not available yet" if name in get_args(schema.Strategy) else "unknown"
    with pytest.raises(UsageError, match=rf"'{name}' is {why}; there are: single, ddp"):
        make_strategy(name, {})


def test_single_refuses_to_be_one_of_two() -> None:
    with pytest.raises(UsageError, match=r"'single' is for one worker.*started 2.*--strategy ddp"):
        make_strategy("single", OF_TWO)


@pytest.mark.parametrize("missing", ["MASTER_ADDR", "MASTER_PORT"])
def test_ddp_refuses_to_be_one_of_two_that_cannot_meet(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv(missing)
    with pytest.raises(UsageError, match=r"'ddp' is worker 1 of 2.*torchrun"):
        make_strategy("ddp", OF_TWO)


def test_a_batch_that_workers_cannot_share_evenly_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    strategy = make_strategy("ddp", OF_TWO)
    strategy.check_batch_size(96)
    with pytest.raises(UsageError, match=r"batch of 97 .* 2 workers"):
        strategy.check_batch_size(97)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 96])
def test_the_shards_of_a_batch_are_the_batch(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    batch = torch.arange(size)
    shards = [make_strategy("ddp", OF_TWO | {"RANK": str(rank)}).shard(batch) for rank in (0, 1)]
    assert torch.equal(torch.cat(shards), batch)
    assert abs(len(shards[0]) - len(shards[1])) <= 1
