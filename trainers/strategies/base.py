"""What the training loop asks of a strategy, and what all strategies share."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from carbon import schema
from carbon.errors import UsageError
from carbon.topology import Topology


class Strategy(ABC):
    """One worker's side of a training shared among `world_size` workers.

    The workers know each other between entering and leaving the context. All are given the same
    global batches and take their own shard of each, so the result does not depend on their number.

    Attributes:
        name: what the command line and the reports call it.
        rank, world_size: this worker's number, and how many there are.
        device: where its model and data belong.
    """

    name: ClassVar[schema.Strategy]

    def __init__(self, place: Topology) -> None:
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
    def wrap(self, model: nn.Module) -> nn.Module:
        """Return `model` such that its gradients are those of all workers.

        The caller must have dropped what is returned before it leaves the context.
        """

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Give every worker the gradients of the sum of all workers' `loss`, shape ()."""

    @abstractmethod
    def add_up(self, values: Tensor) -> Tensor:
        """Return, on every worker, the element-wise sum of all workers' `values`, any shape."""

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
