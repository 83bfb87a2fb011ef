"""The training loop: the same for every task, every strategy and any number of workers."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from trainers.strategies.base import Strategy
from trainers.tasks.base import Examples, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What is decided before training. `global_batch_size` is over all workers together."""

    epochs: int
    global_batch_size: int
    learning_rate: float
    seed: int


class Run(Protocol):
    """What the loop tells the ledger: which epoch it is in, and how well it does."""

    def epochs(self, epochs: Iterable[T], /) -> Iterator[T]:
        """Yield each epoch, measuring it."""
        ...

    def log(self, **metrics: float) -> None:
        """Note metrics of the current epoch."""
        ...


def fit(task: Task, strategy: Strategy, plan: Plan, run: Run) -> None:
    """Train a new model of `task`; `strategy` holds it, until its context is left.

    Raises:
        DataError: the task's data are not those it was written for.
    """
    torch.manual_seed(plan.seed)  # every worker draws the same weights
    training, test = (examples.to(strategy.device) for examples in task.data())
    adam = partial(torch.optim.Adam, lr=plan.learning_rate)
    model = strategy.prepare(task.model().to(strategy.device), adam)

    for epoch in run.epochs(range(plan.epochs)):
        started_s = time.perf_counter()
        model.train()
        for batch in global_batches(len(training), plan, epoch):  # (B,)
            shard = training[strategy.shard(batch)]  # (B / W, ...)
            losses = task.loss(model(shard.inputs), shard.targets)  # (B / W,)
            strategy.backward(losses.sum() / len(batch))
            strategy.step()

        metrics = evaluate(task, model, test, strategy, plan.global_batch_size)
        run.log(**metrics)
        if strategy.rank == 0:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            duration_s = time.perf_counter() - started_s
            print(f"epoch {epoch + 1}/{plan.epochs}  {shown}  {duration_s:.2f} s", flush=True)


def global_batches(n_examples: int, plan: Plan, epoch: int) -> Iterator[Tensor]:
    """Yield the epoch's batches of row numbers, (B,) each, the last one perhaps shorter.

    The order depends on the seed and the epoch only, so every worker finds the same.
    """
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + epoch)
    order = torch.randperm(n_examples, generator=generator)  # (N,)
    for start in range(0, n_examples, plan.global_batch_size):
        yield order[start : start + plan.global_batch_size]


@torch.no_grad()
def evaluate(
    task: Task, model: nn.Module, test: Examples, strategy: Strategy, batch_size: int
) -> dict[str, float]:
    """Return the mean of each metric over the test examples.

    Each worker computes its shard of every batch, so all call `model` equally often: one that is
    sharded has to be put together by all workers at once.
    """
    model.eval()
    sums: dict[str, Tensor] = {}
    for start in range(0, len(test), batch_size):
        batch = torch.arange(start, min(start + batch_size, len(test)))  # (B,)
        shard = test[strategy.shard(batch)]  # (B / W, ...)
        for name, values in task.metrics(model(shard.inputs), shard.targets).items():  # (B / W,)
            sums[name] = values.double().sum() + sums.get(name, 0.0)
    means = strategy.add_up(torch.stack(list(sums.values()))) / len(test)  # (M,)
    return dict(zip(sums, means.tolist(), strict=True))
