"""The loop: same plan, same model; every example once an epoch; every epoch reported."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from trainers.loop import Plan, fit, global_batches, warming_up
from trainers.strategies import make_strategy
from trainers.tasks.base import Examples
from trainers.tasks.digits import Digits

T = TypeVar("T")


class FewDigits(Digits):
    """A hundred of the digits, so that an epoch takes no time."""

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        training, test = super().data(n_times)
        return training[torch.arange(100)], test


class Notebook:
    """A run that keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.profiles: list[tuple[int, dict[str, float]]] = []

    def epochs(self, items: Iterable[T], /, *, start: int = 0) -> Iterator[T]:
        yield from items

    def log(self, **metrics: float) -> None:
        self.metrics.append(metrics)

    def profile(self, *, steps: int, **times: float) -> None:
        self.profiles.append((steps, times))


def train(plan: Plan) -> tuple[Tensor, Notebook]:
    notebook = Notebook()
    with make_strategy("single", {}) as strategy:
        fit(FewDigits(), strategy, plan, notebook)
        state = strategy.full_state()
    assert state is not None
    return torch.cat([weights.flatten() for weights in state["weights"].values()]), notebook


def test_the_same_plan_gives_the_same_weights_and_metrics() -> None:
    plan = Plan(epochs=2, global_batch_size=30, learning_rate=1e-3, seed=7)
    weights, notebook = train(plan)
    torch.manual_seed(99)  # What came before must not matter.
    again, notebook_again = train(plan)
    assert torch.equal(weights, again)
    assert notebook.metrics == notebook_again.metrics


def test_another_seed_gives_another_model() -> None:
    weights, _ = train(Plan(epochs=1, global_batch_size=30, learning_rate=1e-3, seed=7))
    others, _ = train(Plan(epochs=1, global_batch_size=30, learning_rate=1e-3, seed=8))
    assert not torch.equal(weights, others)


def test_every_epoch_is_reported_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _, notebook = train(Plan(epochs=3, global_batch_size=50, learning_rate=1e-3, seed=0))
    assert [metrics.keys() for metrics in notebook.metrics] == [{"loss", "accuracy"}] * 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    for line, metrics in zip(lines, notebook.metrics, strict=True):
        assert f"accuracy {metrics['accuracy']:.4f}" in line


@pytest.mark.parametrize(
    ("n_examples", "size", "sizes"),
    [(100, 30, [30, 30, 30, 10]), (100, 50, [50, 50]), (5, 96, [5]), (4, 1, [1, 1, 1, 1])],
)
def test_an_epoch_is_every_example_once(n_examples: int, size: int, sizes: list[int]) -> None:
    plan = Plan(epochs=1, global_batch_size=size, learning_rate=1e-3, seed=0)
    batches = list(global_batches(n_examples, plan, epoch=0))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(n_examples))


def test_every_epoch_has_an_order_of_its_own_and_keeps_it() -> None:
    plan = Plan(epochs=3, global_batch_size=100, learning_rate=1e-3, seed=3)
    orders = [next(iter(global_batches(100, plan, epoch))).tolist() for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert next(iter(global_batches(100, plan, epoch=1))).tolist() == orders[1]


def test_the_learning_rate_rises_over_the_first_steps_of_a_training_alone() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    plan = Plan(epochs=2, global_batch_size=1, learning_rate=0.4, seed=0)

    def rates(done: int) -> list[float]:
        batches = [torch.arange(1)] * 3
        steps = warming_up(batches, [optimizer], plan, 4, done)
        return [optimizer.param_groups[0]["lr"] for _ in steps]

    assert rates(done=0) == pytest.approx([0.1, 0.2, 0.3])
    assert rates(done=3) == pytest.approx([0.4, 0.4, 0.4])
    optimizer.param_groups[0]["lr"] = 0.4
    assert rates(done=30) == [0.4, 0.4, 0.4], "a training that goes on does not warm up again"
