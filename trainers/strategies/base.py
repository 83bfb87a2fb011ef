"""What the training loop asks of a strategy, and what all strategies share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from carbon import schema
from carbon.attribution.topology import Topology
from carbon.errors import UsageError

MakeOptimizer: TypeAlias = Callable[[Iterable[nn.Parameter]], Optimizer]

FullState: TypeAlias = dict[str, Any]
"""`weights`: {name: tensor}; `optimizer`: {name of the weight: {name of its state: tensor}}.

Whole tensors, on the CPU, and the same whatever the strategy and the number of workers.
"""


@dataclass(frozen=True)
class Options:
    """What can be chosen of a strategy; None is its own default.

    Attributes:
        zero_stage: what DeepSpeed's ZeRO shards: 1 optimizer state, 2 gradients too, 3 weights too.
    """

    zero_stage: int | None = None


class Strategy(ABC):
    """One worker's side of a training shared among `world_size` workers.

    The workers know each other between entering and leaving the context. All are given the same
    global batches and take their own shard of each, so the result does not depend on their number.
    Everything but `backward` of the last layers may exchange data: all workers make the same calls
    in the same order, and call the prepared module equally often.

    Attributes:
        name: what the command line and the reports call it.
        rank, world_size: this worker's number, and how many there are.
        device: where its model and data belong.
        zero_stage: DeepSpeed's, None for every other strategy.
    """

    name: ClassVar[schema.Strategy]
    zero_stage: int | None = None

    def __init__(self, place: Topology, options: Options) -> None:
        self.rank = place.rank
        self.world_size = place.world_size
        self.device = _device(place)
        self._n_threads = torch.get_num_threads()

    def __enter__(self) -> Self:
        # One computing thread is one core, so two workers are two cores against one. It is not tied
        # to a core: that gained nothing, and two runs on one host would be tied to the same ones.
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        else:
            torch.cuda.set_device(self.device)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        torch.set_num_threads(self._n_threads)

    @abstractmethod
    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return what to call in place of `model`, which all workers made with the same weights.

        The caller must have dropped what is returned before it leaves the context.
        """

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Give every worker the gradients of the sum of all workers' `loss`, shape ()."""

    @abstractmethod
    def step(self) -> None:
        """Apply the gradients and clear them."""

    @abstractmethod
    def add_up(self, values: Tensor) -> Tensor:
        """Return, on every worker, the element-wise sum of all workers' `values`, any shape."""

    @abstractmethod
    def full_state(self) -> FullState | None:
        """Return the weights and the optimizer's state on rank 0, None on the others."""

    @abstractmethod
    def load_full_state(self, state: FullState) -> None:
        """Go on from `state`, the same on every worker, after `prepare`."""

    def check_batch_size(self, global_batch_size: int) -> None:
        """Refuse a global batch that cannot be shared out evenly.

        Raises:
            UsageError: the number of workers does not divide it.
        """
        if global_batch_size % self.world_size:
            raise UsageError(
                f"a global batch of {global_batch_size} cannot be shared evenly by "
                f"{self.world_size} workers; choose a multiple of {self.world_size}"
            )

    def shard(self, batch: Tensor) -> Tensor:
        """Return this worker's part of a global batch: (B, ...) -> about (B / world_size, ...)."""
        return batch.tensor_split(self.world_size)[self.rank]


def _device(place: Topology) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if place.local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"local rank {place.local_rank} has no GPU of its own: {torch.cuda.device_count()} "
            "visible; start fewer workers on this node, or set CUDA_VISIBLE_DEVICES= to use the CPU"
        )
    return torch.device("cuda", place.local_rank)
