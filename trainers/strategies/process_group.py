"""What the strategies on `torch.distributed` share: workers that meet and part again."""

import gc
import itertools
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
from torch._C._distributed_c10d import HashStore, PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.optim import Optimizer

from carbon.attribution.topology import Topology
from carbon.errors import UsageError
from trainers.strategies.base import Options, Strategy

_TORCHRUN = "torchrun --standalone --nproc-per-node 2 -m trainers.train --strategy {} ..."

_numbers = itertools.count()


class ProcessGroup(Strategy):
    """gloo between CPUs, nccl between GPUs; a group of one where no launcher started several."""

    _module: nn.Module | None = None
    _optimizer: Optimizer | None = None

    def __init__(self, place: Topology, options: Options) -> None:
        # init_process_group will read these two from the environment itself.
        if place.world_size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            raise UsageError(
                f"strategy {self.name!r} is worker {place.rank} of {place.world_size}, but "
                "MASTER_ADDR and MASTER_PORT do not say where to meet the others; start it with "
                f"`{_TORCHRUN.format(self.name)}`"
            )
        super().__init__(place, options)

    def __enter__(self) -> Self:
        super().__enter__()
        self._meet()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What holds the group goes before it; some of it only as a cycle.
        self.let_go()
        self._module = self._optimizer = None
        gc.collect()
        self._part()
        super().__exit__(kind, error, traceback)

    def _meet(self) -> None:
        dist.init_process_group(
            self.backend, store=self._store(), rank=self.rank, world_size=self.world_size
        )

    def _part(self) -> None:
        dist.destroy_process_group()

    def _store(self) -> Store:
        if self.world_size == 1:
            # A group of one needs no meeting place, so it needs no free port either.
            return HashStore()
        store, _, _ = next(rendezvous("env://", self.rank, self.world_size))
        # A group after another one would find where the workers listened before.
        return PrefixStore(f"carbon-{next(_numbers)}", store)

    @property
    def backend(self) -> str:
        """The library that carries the data between the workers."""
        return "nccl" if self.device.type == "cuda" else "gloo"

    def let_go(self) -> None:
        """Make the libraries forget the process group, where they would keep it to the end."""

    def step(self) -> None:
        """Apply the gradients and clear them."""
        assert self._optimizer is not None, "prepare comes first"
        self._optimizer.step()
        self._optimizer.zero_grad()

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum over all workers."""
        total = values.clone()
        dist.all_reduce(total)
        return total
