"""A data-parallel training whose tracking is switched on and off: a script, under torchrun.

    torchrun --standalone --nproc-per-node 2 ddp.py OPTIONS

OPTIONS is a JSON object: `adapters`, paths by arm; `arms`, the arms of a round; `on_every_rank`,
the arms that every rank tracks (the others only rank 0); `rounds`, `block_s`, `seed` and `result`,
the file in which rank 0 writes the blocks. It imports the standard library and torch alone.

A round is one block of steps for every arm, in an order drawn anew. A tracker is entered before its
block and left after it, both outside of the time that counts, and all arms pause alike; the pause
before is of random length, so that readings fall anywhere in a block.
"""

import importlib.util
import json
import random
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist

# To be loaded before there is a process group: see trainers/strategies/ddp.py.
import torch.distributed.nn
from torch import nn
from torch.nn.parallel import DistributedDataParallel

WIDTH = 512
BATCH = 256
WARM_UP_STEPS = 50
SETTLE_S = (0.2, 1.2)
AFTER_S = 0.4
FIRST_S = 4.0
"""A tool's first start in a process finds out the machine, which takes seconds."""


class Training:
    """A small network and its next step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [nn.Linear(WIDTH, WIDTH), nn.ReLU()] * 3
        self.model = DistributedDataParallel(nn.Sequential(*layers, nn.Linear(WIDTH, 10)))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.inputs = torch.randn(BATCH, WIDTH)
        self.targets = torch.randint(0, 10, (BATCH,))

    def steps(self, count: int) -> float:
        """Take so many steps, from all ranks' beginning to all ranks' end; return the seconds."""
        dist.barrier()
        began_s = time.perf_counter()
        for _ in range(count):
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self.inputs), self.targets)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        dist.barrier()
        return time.perf_counter() - began_s


def main() -> None:
    options = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    training = Training()
    training.steps(WARM_UP_STEPS)
    count = torch.tensor([options["block_s"] * WARM_UP_STEPS / training.steps(WARM_UP_STEPS)])
    dist.broadcast(count, 0)
    n_steps = max(int(count), 1)

    adapters: dict[str, ModuleType] = {}
    for arm, path in options["adapters"].items():
        if rank == 0 or arm in options["on_every_rank"]:
            adapters[arm] = load(arm, path)
            tracker = adapters[arm].start()
            time.sleep(FIRST_S)
            adapters[arm].stop(tracker)
    dist.barrier()

    order = random.Random(options["seed"])  # The same on every rank.
    blocks: list[dict[str, Any]] = []
    for number in range(options["rounds"]):
        arms = list(options["arms"])
        order.shuffle(arms)
        for arm in arms:
            adapter = adapters.get(arm)
            tracker = None if adapter is None else adapter.start()
            time.sleep(order.uniform(*SETTLE_S))
            duration_s = training.steps(n_steps)
            if adapter is not None:
                adapter.stop(tracker)
            time.sleep(AFTER_S)
            blocks.append({"round": number, "arm": arm, "step_s": duration_s / n_steps})
    if rank == 0:
        document = {"steps_a_block": n_steps, "blocks": blocks}
        Path(options["result"]).write_text(json.dumps(document), encoding="utf-8")
    dist.destroy_process_group()


def load(arm: str, path: str) -> ModuleType:
    """Import an adapter, and with it the tool."""
    spec = importlib.util.spec_from_file_location(f"adapter_{arm}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"adapter_{arm}"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
