"""`ddp`: every worker holds the whole model and a shard of the batch; gradients are averaged.

S. Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020,
https://doi.org/10.14778/3415478.3415530.
"""

import os
from types import TracebackType
from typing import Self

import torch.distributed as dist

# Not used here, but to be loaded before there is a process group: its functions have the default
# group for a default argument, taken when it is first imported. Building DistributedDataParallel
# imports it, and from then on it would keep the group, and gloo's threads, alive to the end. A
# thread that is still releasing the last tensors while the interpreter shuts down asks for the GIL,
# is ended by CPython within a C++ destructor and takes the process along: "terminate called without
# an active exception", exit code 134, in one run of five to twenty.
import torch.distributed.nn  # noqa: F401
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from carbon.errors import UsageError
from carbon.topology import Topology
from trainers.strategies.base import Strategy

_TORCHRUN = "torchrun --standalone --nproc-per-node 2 -m trainers.train --strategy ddp ..."


class DataParallel(Strategy):
    """gloo between CPUs, nccl between GPUs; a group of one where no launcher started several."""

    name = "ddp"

    def __init__(self, place: Topology) -> None:
        # init_process_group will read these two from the environment itself.
        if place.world_size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            raise UsageError(
                f"strategy 'ddp' is worker {place.rank} of {place.world_size}, but MASTER_ADDR and "
                f"MASTER_PORT do not say where to meet the others; start it with `{_TORCHRUN}`"
            )
        super().__init__(place)

    def __enter__(self) -> Self:
        super().__enter__()
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        # A group of one needs no meeting place, so it needs no free port either.
        store = dist.HashStore() if self.world_size == 1 else None  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world_size)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        dist.destroy_process_group()
        super().__exit__(kind, error, traceback)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return a replica of rank 0's model that averages gradients while they are computed."""
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=device_ids)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients; DistributedDataParallel averages, so scale back to the sum."""
        (loss * self.world_size).backward()  # type: ignore[no-untyped-call]

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum over all workers."""
        total = values.clone()
        dist.all_reduce(total)
        return total
