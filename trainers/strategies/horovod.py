"""`horovod`: every worker holds the whole model; Horovod adds up gradients while they are computed.

A. Sergeev and M. Del Balso, "Horovod: fast and easy distributed deep learning in TensorFlow", 2018,
https://arxiv.org/abs/1802.05799. Started by `horovodrun`; `make horovod` installs it.
"""

from types import TracebackType
from typing import Any, Self

import horovod.torch as hvd
from torch import Tensor, nn

from carbon.attribution.topology import Topology
from carbon.errors import UsageError
from trainers.strategies.base import FullState, MakeOptimizer, Options, Strategy
from trainers.strategies.state import gathered, spread

_HOROVODRUN = "horovodrun -np 2 python -m trainers.train --strategy horovod ..."


class Horovod(Strategy):
    """gloo between CPUs, or what Horovod was built with; one worker where nobody started several.

    Raises:
        UsageError: on entering, where Horovod was not told of the workers that there are.
    """

    name = "horovod"

    def __init__(self, place: Topology, options: Options) -> None:
        super().__init__(place, options)
        self._launcher = place.launcher
        self._model: nn.Module | None = None
        self._optimizer: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        hvd.init()
        found = (hvd.rank(), hvd.size())
        if found != (self.rank, self.world_size):
            self.__exit__(None, None, None)
            raise UsageError(
                f"strategy 'horovod' is worker {self.rank} of {self.world_size} to "
                f"{self._launcher}, but {found[0]} of {found[1]} to Horovod; start it with "
                f"`{_HOROVODRUN}`"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._model = self._optimizer = None
        hvd.shutdown()
        super().__exit__(kind, error, traceback)

    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return `model` with the weights of rank 0's."""
        hvd.broadcast_parameters(model.state_dict(), root_rank=0)
        self._model = model
        self._optimizer = hvd.DistributedOptimizer(
            make_optimizer(model.parameters()),
            named_parameters=model.named_parameters(),
            op=hvd.Sum,
        )
        return model

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, adding each one up as soon as it is there."""
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.synchronize()

    def step(self) -> None:
        """Apply the gradients and clear them."""
        with self._optimizer.skip_synchronize():  # That was done, for who looks at gradients.
            self._optimizer.step()
        self._optimizer.zero_grad()

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum over all workers."""
        total: Tensor = hvd.allreduce(values, op=hvd.Sum, name="add_up")
        return total

    def full_state(self) -> FullState | None:
        """Return a copy of rank 0's model and optimizer; all workers have the same."""
        assert self._model is not None, "prepare comes first"
        return gathered(self._model, self._optimizer) if self.rank == 0 else None

    def load_full_state(self, state: FullState) -> None:
        """Go on from `state` in every worker."""
        assert self._model is not None, "prepare comes first"
        spread(self._model, self._optimizer, state)
