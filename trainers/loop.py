"""The training loop: the same for every task, every strategy and any number of workers."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainers.checkpoints import Checkpoint
from trainers.profiling import StepProfiler
from trainers.strategies.base import FullState, Strategy
from trainers.tasks.base import Examples, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What is decided before training.

    Attributes:
        global_batch_size: of all workers together.
        n_times: how many times the task's examples an epoch has: the number of workers where the
            work grows with it (weak scaling).
    """

    epochs: int
    global_batch_size: int
    learning_rate: float
    seed: int
    n_times: int = 1


class Run(Protocol):
    """What the loop tells the ledger: which epoch it is in, how well it does, what takes time."""

    def epochs(self, items: Iterable[T], /, *, start: int = 0) -> Iterator[T]:
        """Yield each epoch, measuring it; numbers begin at `start`."""
        ...

    def log(self, **metrics: float) -> None:
        """Note metrics of the current epoch."""
        ...

    def profile(
        self,
        *,
        steps: int,
        duration_s: float,
        compute_s: float,
        exposed_communication_s: float,
        overlapped_communication_s: float,
        idle_s: float,
    ) -> None:
        """Note where the time of some steps went."""
        ...


def fit(
    task: Task,
    strategy: Strategy,
    plan: Plan,
    run: Run,
    *,
    profile_steps: int = 0,
    resume: Checkpoint | None = None,
    save: Callable[[int, FullState], None] | None = None,
) -> None:
    """Train a model of `task`; `strategy` holds it, until its context is left.

    Args:
        profile_steps: how many steps of the first epoch, its last ones, are profiled. That epoch
            warms up and is left out of comparisons, so no epoch that counts is slower for it.
        resume: what to go on from, instead of a new model.
        save: called on rank 0 within each epoch, with the number of epochs trained so far. Within,
            because an epoch that the ledger has must not be trained again after a `kill -9`.

    Raises:
        DataError: the task's data are not those it was written for.
    """
    torch.manual_seed(plan.seed)  # every worker draws the same weights
    training, test = (examples.to(strategy.device) for examples in task.data(plan.n_times))
    made: list[Optimizer] = []

    def adam(weights: Iterable[nn.Parameter]) -> Optimizer:
        made.append(torch.optim.Adam(weights, lr=plan.learning_rate))
        return made[-1]

    model = strategy.prepare(task.model().to(strategy.device), adam)
    first = 0
    if resume is not None:
        strategy.load_full_state(resume.state)
        first = resume.epochs_trained

    for epoch in run.epochs(range(first, plan.epochs), start=first):
        started_s = time.perf_counter()
        batches = list(global_batches(len(training), plan, epoch))
        n_profiled = min(profile_steps, len(batches)) if epoch == first else 0
        n_alone = len(batches) - n_profiled
        steps = warming_up(batches, made, plan, task.warm_up_steps, epoch * len(batches))
        train(task, model, training, strategy, islice(steps, n_alone))
        if n_profiled:
            profiler = StepProfiler(strategy.device)
            with profiler.steps():
                train(task, model, training, strategy, steps)
            run.profile(steps=n_profiled, **asdict(profiler.times))

        metrics = evaluate(task, model, test, strategy, plan.global_batch_size)
        run.log(**metrics)
        if save is not None and (state := strategy.full_state()) is not None:
            save(epoch + 1, state)
        if strategy.rank == 0:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            duration_s = time.perf_counter() - started_s
            print(f"epoch {epoch + 1}/{plan.epochs}  {shown}  {duration_s:.2f} s", flush=True)


def train(
    task: Task, model: nn.Module, training: Examples, strategy: Strategy, batches: Iterable[Tensor]
) -> None:
    """Take a step for each of the global batches, of row numbers (B,)."""
    model.train()
    for batch in batches:
        shard = training[strategy.shard(batch)]  # (B / W, ...)
        losses = task.loss(model(shard.inputs), shard.targets)  # (B / W,)
        strategy.backward(losses.sum() / len(batch))
        strategy.step()


def warming_up(
    batches: Iterable[Tensor], optimizers: Sequence[Optimizer], plan: Plan, n_steps: int, done: int
) -> Iterator[Tensor]:
    """Yield the batches; over the first `n_steps` of a training the learning rate rises evenly.

    P. Goyal et al., "Accurate, Large Minibatch SGD", 2017, https://arxiv.org/abs/1706.02677, 2.2.
    What wraps an optimizer, as DeepSpeed and Horovod do, shares its groups.

    Args:
        done: how many steps were taken before these batches.
    """
    for step, batch in enumerate(batches, done + 1):
        if step <= n_steps:
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = plan.learning_rate * step / n_steps
        yield batch


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
