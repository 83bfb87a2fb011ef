"""The strategies: what each refuses, and that two workers do the work of one."""

import os
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from torch import nn

from carbon import schema
from carbon.errors import UsageError
from tests.patience import PATIENCE_S
from trainers.strategies import STRATEGIES, make_strategy
from trainers.strategies.base import Options
from trainers.strategies.fsdp import parts

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
OF_TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}

# In double precision the order in which gradients are added up cannot hide a wrong factor;
# DeepSpeed has 32 bit only. With 193 examples the last global batch holds a single one, so that the
# second worker's shard is empty. The first layer has 45 weights, which two workers share unevenly.
SHARED_TRAINING = """
import contextlib, os, sys, time
from pathlib import Path
import torch
from torch import nn
from trainers import checkpoints
from trainers.checkpoints import Checkpoint
from trainers.loop import Plan, fit
from trainers.strategies import make_strategy
from trainers.strategies.base import Options
from trainers.tasks.base import Examples
from trainers.tasks.digits import Digits

folder = Path(sys.argv[1])

class Task(Digits):
    warm_up_steps = 3  # Or a strategy that wraps the optimizer might go its own way.

    def __init__(self, is_double):
        super().__init__("small")
        self.dtype = torch.double if is_double else torch.float

    def model(self):
        layers = nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(180, 7), nn.Linear(7, 10)
        return nn.Sequential(*layers).to(self.dtype)

    def data(self, n_times=1):
        training, test = super().data(n_times)
        training = training[torch.arange(193)]
        return (Examples(each.inputs.to(self.dtype), each.targets) for each in (training, test))

class Run:
    def __init__(self):
        self.logged, self.profiles, self.started = [], [], None
    def epochs(self, items, *, start=0):
        self.started = start
        return iter(items)
    def log(self, **metrics):
        self.logged.append(metrics)
    def profile(self, **times):
        self.profiles.append(times)

def comms():
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            yield open(f"/proc/self/task/{task}/comm").read()

def train(name, is_double, save_to=None, resume_from=None):
    run = Run()
    strategy, _, stage = name.partition("-zero")
    options = Options(int(stage) if stage else None)
    saved = resume_from and checkpoints.load(folder / resume_from, {}, 2)
    def save(epochs, state):
        if epochs == 1:
            checkpoints.save(folder / save_to, Checkpoint("run", epochs, {}, state))
    with make_strategy(strategy, os.environ, options) as strategy:
        fit(Task(is_double), strategy, Plan(2, 32, 1e-3, 0), run, resume=saved,
            save=save if save_to else None, profile_steps=0 if saved else 2)
        seen = {"threads": torch.get_num_threads(), "metrics": run.logged, "start": run.started}
        seen |= {"profiles": run.profiles, "state": strategy.full_state()}
    # The kernel lists a thread for a moment after it was joined. Ray's stay: the group is its own.
    give_up_s = time.monotonic() + (0 if name.startswith("ray") else 10)
    while (gloo := [comm for comm in comms() if "gloo" in comm]) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    seen["gloo"] = gloo
    resumed = "resumed-" if saved else ""
    kind = "double" if is_double else "float"
    place = f"{kind}-{strategy.world_size}-{strategy.rank}"
    with_whom = f"-from-{resume_from}" if saved and not resume_from.startswith(name) else ""
    torch.save(seen, folder / f"{resumed}{name}{with_whom}-{place}.pt")

for name in sys.argv[2].split(","):
    for is_double in [False] if "deepspeed" in name else [False, True]:
        train(name, is_double, save_to=f"{name}-checkpoint")
        train(name, is_double, resume_from=f"{name}-checkpoint")
for other in filter(None, sys.argv[3].split(",")):
    train("single", False, resume_from=f"{other}-checkpoint")
"""

SHARED = ("ddp", "fsdp", "deepspeed-zero1", "deepspeed-zero2", "deepspeed-zero3")
KINDS = [(name, "float") for name in SHARED] + [("ddp", "double"), ("fsdp", "double")]

# Of 64 and 32 bit: what the order of additions may change in 14 steps.
TOLERANCE = {"double": (1e-8, 1e-10), "float": (1e-5, 1e-6)}
"""Relative and absolute."""

Trainings = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """What each worker saw: `ddp-double-2-1` is the last of two workers."""
    folder = tmp_path_factory.mktemp("shared")
    script = folder / "shared_training.py"
    script.write_text(SHARED_TRAINING)
    environ = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    together = [*TORCHRUN, "--nproc-per-node=2", str(script), str(folder), ",".join(SHARED), ""]
    others = "deepspeed-zero2,deepspeed-zero3"
    alone = [sys.executable, str(script), str(folder), "single,ddp,fsdp", others]
    for command in (together, alone):
        subprocess.run(command, env=environ, check=True, timeout=PATIENCE_S)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


def assert_close(found: object, expected: object, kind: str) -> None:
    relative, absolute = TOLERANCE[kind]
    torch.testing.assert_close(found, expected, rtol=relative, atol=absolute)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_two_workers_reach_the_weights_and_metrics_of_one(
    trainings: Trainings, name: str, kind: str
) -> None:
    alone = trainings[f"single-{kind}-1-0"]
    shared = trainings[f"{name}-{kind}-2-0"]
    assert_close(shared["state"], alone["state"], kind)
    for rank in (0, 1):
        metrics = trainings[f"{name}-{kind}-2-{rank}"]["metrics"]
        assert_close(metrics, alone["metrics"], kind)


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_a_group_of_one_reaches_them_too(trainings: Trainings, name: str) -> None:
    alone, grouped = trainings["single-double-1-0"], trainings[f"{name}-double-1-0"]
    assert_close(grouped["state"], alone["state"], "double")
    assert_close(grouped["metrics"], alone["metrics"], "double")


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_going_on_from_a_checkpoint_ends_where_the_training_would_have(
    trainings: Trainings, name: str, kind: str
) -> None:
    whole, resumed = (trainings[f"{how}{name}-{kind}-2-0"] for how in ("", "resumed-"))
    assert (whole["start"], resumed["start"]) == (0, 1)
    assert resumed["metrics"] == whole["metrics"][1:]
    torch.testing.assert_close(resumed["state"], whole["state"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["deepspeed-zero2", "deepspeed-zero3"])
def test_another_strategy_and_number_of_workers_can_go_on(trainings: Trainings, name: str) -> None:
    alone = trainings["single-float-1-0"]
    resumed = trainings[f"resumed-single-from-{name}-checkpoint-float-1-0"]
    assert_close(resumed["state"], alone["state"], "float")
    assert len(resumed["metrics"]) == 1


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_worker_finds_out_what_its_steps_spend_on_communication(
    trainings: Trainings, name: str, kind: str
) -> None:
    for rank in (0, 1):
        (times,) = trainings[f"{name}-{kind}-2-{rank}"]["profiles"]
        assert times["steps"] == 2
        parts = {key: value for key, value in times.items() if key not in ("steps", "duration_s")}
        assert sum(parts.values()) == pytest.approx(times["duration_s"])
        assert parts["compute_s"] > 0
        assert parts["exposed_communication_s"] + parts["overlapped_communication_s"] > 0


def test_a_worker_alone_communicates_with_nobody(trainings: Trainings) -> None:
    (times,) = trainings["single-float-1-0"]["profiles"]
    assert times["exposed_communication_s"] == times["overlapped_communication_s"] == 0


def test_every_worker_computes_with_one_thread(trainings: Trainings) -> None:
    assert {seen["threads"] for seen in trainings.values()} == {1}


def test_no_thread_of_gloo_outlives_the_strategy(trainings: Trainings) -> None:
    """One that does may abort the process at its end; `strategies/process_group.py` says why."""
    assert {name: seen["gloo"] for name, seen in trainings.items() if seen["gloo"]} == {}


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    with make_strategy("single", {}):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_every_strategy_that_a_report_can_name_is_there_but_for_other_ones() -> None:
    assert {*STRATEGIES, "other"} == set(get_args(schema.Strategy))


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp", "deepspeed"])
def test_a_strategy_is_had_by_its_name(name: str) -> None:
    assert make_strategy(name, {}).name == name


@pytest.mark.parametrize("name", ["other", "dpp", ""])
def test_a_strategy_there_is_not_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' is unknown; there are: single, ddp"):
        make_strategy(name, {})


@pytest.mark.parametrize("name", ["ray-ddp", "ray-deepspeed"])
def test_a_strategy_of_ray_is_for_workers_that_ray_started(name: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="for workers that Ray Train started"):
        make_strategy(name, {})


def test_single_refuses_to_be_one_of_two() -> None:
    with pytest.raises(UsageError, match=r"'single' is for one worker.*started 2.*--strategy ddp"):
        make_strategy("single", OF_TWO)


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp"])
def test_a_zero_stage_is_for_deepspeed(name: str) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' has no ZeRO stages.*deepspeed"):
        make_strategy(name, {}, Options(zero_stage=2))


def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "trainers.strategies.deepspeed", raising=False)
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(UsageError, match=r"needs deepspeed.*pip install .*\[deepspeed\]"):
        make_strategy("deepspeed", {})


def test_the_parts_that_fsdp_gathers_are_blocks_or_layers() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8))

    blocks = [block() for _ in range(4)]
    embedding, norm = nn.Linear(8, 8), nn.LayerNorm(8)
    model = nn.Sequential(embedding, nn.ModuleList(blocks), norm)
    assert list(parts(model)) == [embedding, *blocks]  # Too small a part goes with the whole.
    alone = block()
    assert list(parts(nn.Sequential(alone))) == [alone[0], alone[2]]  # type: ignore[index]


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
