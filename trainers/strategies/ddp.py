"""`ddp`: every worker holds the whole model and a shard of the batch; gradients are averaged.

S. Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020,
https://doi.org/10.14778/3415478.3415530.
"""

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainers.strategies.base import FullState, MakeOptimizer
from trainers.strategies.process_group import ProcessGroup
from trainers.strategies.state import gathered, spread


class DataParallel(ProcessGroup):
    """Gradients are averaged while the next ones are computed."""

    name = "ddp"

    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return a replica of rank 0's model that averages gradients while they are computed."""
        device_ids = [self.device] if self.device.type == "cuda" else None
        self._module = DistributedDataParallel(model, device_ids=device_ids)
        self._optimizer = make_optimizer(self._module.parameters())
        return self._module

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients; DistributedDataParallel averages, so scale back to the sum."""
        (loss * self.world_size).backward()  # type: ignore[no-untyped-call]

    def full_state(self) -> FullState | None:
        """Return a copy of rank 0's replica and optimizer; all workers have the same."""
        assert isinstance(self._module, DistributedDataParallel)
        assert self._optimizer is not None
        return gathered(self._module.module, self._optimizer) if self.rank == 0 else None

    def load_full_state(self, state: FullState) -> None:
        """Go on from `state` in every replica."""
        assert isinstance(self._module, DistributedDataParallel)
        assert self._optimizer is not None
        spread(self._module.module, self._optimizer, state)
