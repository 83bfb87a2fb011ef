"""The state of a training by the names of its weights, so that any strategy can go on from it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainers.strategies.base import FullState


def gathered(
    model: nn.Module, optimizer: Optimizer, whole: Callable[[Tensor], Tensor] = lambda part: part
) -> FullState:
    """Return copies on the CPU; `whole` makes a tensor of what this worker has of it."""
    return {
        "weights": {name: _copy(whole(each)) for name, each in model.state_dict().items()},
        "optimizer": {
            name: {key: _copy(whole(each)) for key, each in optimizer.state[weight].items()}
            for name, weight in model.named_parameters()
            if weight in optimizer.state
        },
    }


@torch.no_grad()
def spread(
    model: nn.Module,
    optimizer: Optimizer,
    state: FullState,
    part: Callable[[Tensor, Tensor], Tensor] = lambda whole, like: whole.to(like.device),
) -> None:
    """Put `state` into the model and its optimizer.

    `part` takes a whole tensor and the weight it belongs to, and returns what this worker keeps.
    """
    own = model.state_dict()
    model.load_state_dict({name: part(each, own[name]) for name, each in state["weights"].items()})
    for name, weight in model.named_parameters():
        if name in state["optimizer"]:
            # Counters, of shape (), stay where the optimizer wants them: on the CPU.
            optimizer.state[weight] = {
                key: part(each, weight)
                if isinstance(each, Tensor) and each.dim()
                else _copied(each)
                for key, each in state["optimizer"][name].items()
            }


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value
