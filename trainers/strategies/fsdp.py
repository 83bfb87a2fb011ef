"""`fsdp`: weights, gradients and optimizer state are sharded, each layer whole only while it works.

Y. Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023,
https://doi.org/10.14778/3611540.3611569; here its second form,
https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from trainers.strategies.base import FullState, MakeOptimizer
from trainers.strategies.process_group import ProcessGroup
from trainers.strategies.state import gathered, spread

SMALL = 0.01
LARGE = 0.5
"""Shares of the model's weights: smaller parts are gathered with the rest, larger ones in parts."""


class FullyShardedDataParallel(ProcessGroup):
    """Each part of the model is put together before it is used, and dropped after."""

    name = "fsdp"
    _mesh: DeviceMesh | None = None

    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return `model` itself, its weights sharded."""
        self._mesh = init_device_mesh(self.device.type, (self.world_size,))
        for part in [*parts(model), model]:
            fully_shard(part, mesh=self._mesh)
        self._module, self._optimizer = model, make_optimizer(model.parameters())
        return model

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients; fully_shard averages, so scale back to the sum."""
        (loss * self.world_size).backward()  # type: ignore[no-untyped-call]

    def full_state(self) -> FullState | None:
        """Put the state together on every worker, and return it on rank 0."""
        model, optimizer = self._sharded()
        state = gathered(model, optimizer, _whole)
        return state if self.rank == 0 else None

    def load_full_state(self, state: FullState) -> None:
        """Keep this worker's shard of `state`."""
        spread(*self._sharded(), state, _part)

    def let_go(self) -> None:
        """Take the group out of the mesh, which caches of torch keep to the end."""
        getattr(self._mesh, "_pg_registry", {}).clear()

    def _sharded(self) -> tuple[nn.Module, Optimizer]:
        assert self._module is not None
        assert self._optimizer is not None
        for part in self._module.modules():
            if isinstance(part, FSDPModule):
                part.reshard()  # An evaluation leaves the outermost one whole.
        return self._module, self._optimizer


def parts(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of `model` that are worth gathering on their own: its layers or blocks.

    A part with more than half of all weights is taken apart itself, as long as it has parts.
    """
    n_weights = sum(weight.numel() for weight in model.parameters())

    def within(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            share = sum(weight.numel() for weight in child.parameters()) / n_weights
            is_list = isinstance(child, nn.ModuleList | nn.ModuleDict)
            if is_list or (share > LARGE and any(True for _ in child.children())):
                yield from within(child)
            elif share >= SMALL:
                yield child

    yield from within(model)


def _whole(part: Tensor) -> Tensor:
    return part.full_tensor() if isinstance(part, DTensor) else part


def _part(whole: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor):
        return whole.to(like.device)
    whole = whole.to(like.device)
    # Every worker has the whole, so nothing is to be sent.
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
