"""`single`: one worker, the one every speedup is measured from."""

from torch import Tensor, nn
from torch.optim import Optimizer

from carbon.attribution.topology import Topology
from carbon.errors import UsageError
from trainers.strategies.base import FullState, MakeOptimizer, Options, Strategy
from trainers.strategies.state import gathered, spread


class Single(Strategy):
    """The whole of every batch in one process."""

    name = "single"
    _model: nn.Module
    _optimizer: Optimizer

    def __init__(self, place: Topology, options: Options) -> None:
        if place.world_size > 1:
            raise UsageError(
                f"strategy 'single' is for one worker, but {place.launcher} started "
                f"{place.world_size}; use --strategy ddp, or start it without a launcher"
            )
        super().__init__(place, options)

    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return `model` itself."""
        self._model, self._optimizer = model, make_optimizer(model.parameters())
        return model

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Apply the gradients and clear them."""
        self._optimizer.step()
        self._optimizer.zero_grad()

    def add_up(self, values: Tensor) -> Tensor:
        """Return `values` themselves."""
        return values

    def full_state(self) -> FullState:
        """Return a copy of the weights and the optimizer's state."""
        return gathered(self._model, self._optimizer)

    def load_full_state(self, state: FullState) -> None:
        """Go on from `state`."""
        spread(self._model, self._optimizer, state)
