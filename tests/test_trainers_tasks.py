"""The tasks: their data are what they say, and what they answer is for each example on its own."""

import copy
import functools
import hashlib
import importlib
import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from carbon.errors import UsageError
from carbon.study.tasks import TASKS as KNOWN_TO_STUDIES
from trainers.loop import Plan, fit
from trainers.strategies import make_strategy
from trainers.tasks import SIZES, TASKS, base, make_task
from trainers.tasks.base import DataError, Examples, Task, check
from trainers.tasks.draws import draw, draw_between, draw_noise

T = TypeVar("T")

GENERATED = [name for name in TASKS if name != "digits"]
tasks = pytest.mark.parametrize("name", TASKS)
generated = pytest.mark.parametrize("name", GENERATED)


def test_studies_know_the_tasks() -> None:
    assert (*TASKS,) == KNOWN_TO_STUDIES


@functools.cache
def data_of(name: str) -> tuple[Examples, Examples]:
    """The small data, made once for all tests that only look at them."""
    return make_task(name).data()


def test_the_tasks_are_all_there() -> None:
    assert list(TASKS) == ["digits", "virgo", "drought", "vit", "emulator", "gpt"]


def test_an_unknown_task_or_size_is_named_beside_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'mnist'.*digits, virgo"):
        make_task("mnist")
    with pytest.raises(UsageError, match=r"'vit' has no size 'huge'.*small, medium, large"):
        make_task("vit", "huge")


@tasks
def test_a_size_has_a_model_and_a_name_of_its_own(name: str) -> None:
    sizes = [make_task(name, size) for size in SIZES]
    assert [task.size for task in sizes] == list(SIZES)
    assert {task.name for task in sizes} == {name}
    assert len({task.model_name for task in sizes}) == len(sizes)
    with torch.device("meta"):
        n_weights = [sum(weights.numel() for weights in t.model().parameters()) for t in sizes]
    assert n_weights[0] * 3 < n_weights[1] < n_weights[2]


@tasks
def test_data_are_the_same_every_time_and_as_many_as_said(name: str) -> None:
    task = make_task(name)
    first, second = data_of(name), task.data()
    assert len(first[0]) == task.n_training_examples
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


@tasks
def test_weak_scaling_adds_other_examples_for_training_only(name: str) -> None:
    task = make_task(name)
    once, test = data_of(name)
    more, same_test = task.data(n_times=3)
    n = task.n_training_examples
    assert len(more) == 3 * n
    assert torch.equal(more.inputs[:n], once.inputs)
    assert torch.equal(more.targets[:n], once.targets)
    assert torch.equal(same_test.inputs, test.inputs)
    thirds = more.inputs.flatten(1).chunk(3)
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (thirds[one] != thirds[other]).any(dim=1).float().mean() > 0.9


@tasks
def test_no_test_example_is_trained_on(name: str) -> None:
    training, test = data_of(name)
    seen = {row.numpy().tobytes() for row in training.inputs}
    assert not seen & {row.numpy().tobytes() for row in test.inputs}


@tasks
def test_a_batch_split_in_two_has_the_losses_and_metrics_of_the_whole(name: str) -> None:
    task = make_task(name)
    model = task.model().double()
    training, _ = data_of(name)
    batch = training[torch.arange(9)]
    inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs
    outputs = model(inputs)
    halves = torch.cat([model(part) for part in inputs.tensor_split(2)])

    torch.testing.assert_close(halves, outputs)
    assert task.loss(outputs, batch.targets).shape == (9,)
    metrics = task.metrics(outputs, batch.targets)
    assert task.metric in metrics
    for metric, values in metrics.items():
        assert values.shape == (9,)
        parts = [(halves[:5], batch.targets[:5]), (halves[5:], batch.targets[5:])]
        torch.testing.assert_close(
            torch.cat([task.metrics(*part)[metric] for part in parts]), values
        )


@tasks
def test_what_a_batch_is_made_of_is_floats_of_moderate_size_or_whole_numbers(name: str) -> None:
    training, _ = data_of(name)
    batch = training[torch.arange(len(training))]
    assert batch.make is None
    assert batch.targets.dtype in (torch.float32, torch.int64)
    if batch.inputs.is_floating_point():
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.isfinite().all()
        assert 0.2 < batch.inputs.std() < 5


@generated
def test_one_changed_number_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making and the check, as a library with an error of its own would change it."""
    module = importlib.import_module(f"trainers.tasks.{name}")
    refused = []

    def tampered(what: str, sha256: str, *tensors: Tensor) -> None:
        check(what, sha256, *tensors)
        for i, tensor in enumerate(tensors):
            changed = tensor.clone()
            changed.view(-1)[-1] ^= 1
            try:
                check(what, sha256, *tensors[:i], changed, *tensors[i + 1 :])
            except DataError:
                refused.append(i)
        assert refused == list(range(len(tensors)))
        check(what, sha256, *reversed(tensors))

    # What a task calls by itself, or `checked` for it.
    for place in (module, base):
        monkeypatch.setattr(place, "check", tampered, raising=place is base)
    with pytest.raises(DataError, match=rf"{name} small have checksum \w+, not .*trainers/tasks"):
        make_task(name).data()
    assert len(refused) >= 4  # Inputs and targets, for training and for the test.


@generated
@pytest.mark.parametrize("size", SIZES)
def test_each_size_has_a_checksum_of_its_own(name: str, size: str) -> None:
    sums = importlib.import_module(f"trainers.tasks.{name}").SHA256
    assert list(sums) == list(SIZES)
    assert len(set(sums.values())) == len(SIZES)
    assert len(sums[size]) == hashlib.sha256().digest_size * 2


@pytest.mark.parametrize("name", ["vit", "gpt"])
def test_the_large_sizes_that_are_quick_to_make_are_checked_too(name: str) -> None:
    task = make_task(name, "large")
    training, _ = task.data()
    assert len(training) == task.n_training_examples


@pytest.mark.parametrize("changed", ["pixel", "label"])
def test_one_changed_pixel_or_label_of_the_digits_is_refused(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn import datasets

    digits = copy.deepcopy(datasets.load_digits())
    if changed == "pixel":
        digits.images[1000, 4, 4] += 1
    else:
        digits.target[1000] ^= 1
    monkeypatch.setattr(datasets, "load_digits", lambda: digits)
    with pytest.raises(DataError, match="checksum"):
        make_task("digits").data()


def test_digits_are_all_1797_images_each_either_for_training_or_for_the_test() -> None:
    training, test = data_of("digits")
    assert training.inputs.shape == (1440, 1, 8, 8)
    assert test.inputs.shape == (357, 1, 8, 8)
    everything = torch.cat([training.inputs, test.inputs])
    assert everything.min() == 0.0
    assert everything.max() == 1.0
    assert len({image.numpy().tobytes() for image in everything}) == 1797
    assert set(test.targets.tolist()) == set(range(10))


def test_copies_of_the_digits_are_moved_by_a_pixel() -> None:
    training, test = make_task("digits", "large").data()
    copies = training.inputs.view(9, 1440, 8, 8)
    assert torch.equal(copies[1][:, :, 1:], copies[0][:, :, :-1])
    assert (copies[1][:, :, 0] == 0).all()
    assert len({each.numpy().tobytes() for each in copies}) == 9
    assert len(test) == 357


class Run:
    """A run that keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def epochs(self, items: Iterable[T], /, *, start: int = 0) -> Iterator[T]:
        yield from items

    def log(self, **metrics: float) -> None:
        self.metrics.append(metrics)

    def profile(self, *, steps: int, **times: float) -> None:
        raise AssertionError("nobody asked for a profile")


def trained(task: Task, epochs: int) -> dict[str, float]:
    """The metrics after the last epoch."""
    run = Run()
    with make_strategy("single", {}) as strategy:
        fit(task, strategy, Plan(epochs, task.batch_size, task.learning_rate, seed=0), run)
    return run.metrics[-1]


def test_digits_learn_to_tell_most_digits() -> None:
    assert trained(make_task("digits"), epochs=1)["accuracy"] > 0.5


def test_virgo_learns_more_than_silence() -> None:
    """A strain of nothing leaves everything: a ratio of 1."""
    task = make_task("virgo")
    batch = data_of("virgo")[1][torch.arange(256)]
    silent = task.metrics(torch.zeros_like(batch.targets), batch.targets)["residual_ratio"]
    torch.testing.assert_close(silent, torch.ones(256))
    assert trained(task, epochs=1)["residual_ratio"] < 0.92


def test_drought_learns_more_than_the_mean() -> None:
    task = make_task("drought")
    batch = data_of("drought")[0][torch.arange(task.n_training_examples)]
    of_mean = task.metrics(torch.zeros_like(batch.targets), batch.targets)["nse"].mean()
    assert of_mean == pytest.approx(0.0, abs=0.1)  # Windows leave out some of the first days.
    assert trained(task, epochs=4)["nse"] > 0.2


def test_vit_learns_more_than_guessing() -> None:
    assert trained(make_task("vit"), epochs=1)["accuracy"] > 0.3


def test_emulator_learns_more_than_that_nothing_changes() -> None:
    task = make_task("emulator")
    batch = data_of("emulator")[1][torch.arange(1024)]
    persistence = task.metrics(batch.inputs, batch.targets)["rmse"].mean().item()
    assert 2 < persistence < 4
    assert trained(task, epochs=3)["rmse"] < 0.8 * persistence


def test_gpt_learns_more_than_how_often_each_character_comes() -> None:
    task = make_task("gpt")
    training, test = data_of("gpt")
    shares = training.targets.flatten().long().bincount() / training.targets.numel()
    by_frequency = -shares[test.targets.long()].log2().mean().item()
    assert 3.5 < by_frequency < math.log2(41)
    assert trained(task, epochs=1)["bits_per_character"] < 0.85 * by_frequency


def test_large_vit_is_vit_b_16() -> None:
    """The published model has 86,567,656 weights with a head for 1,000 classes, here for 10."""
    with torch.device("meta"):
        model = make_task("vit", "large").model()
        scores = model(torch.zeros(2, 3, 224, 224))
    n_weights = sum(weights.numel() for weights in model.parameters())
    assert n_weights == 86_567_656 - 990 * (768 + 1)
    assert scores.shape == (2, 10)


def test_vit_images_show_each_shape_and_differ_though_the_shape_is_the_same() -> None:
    training, _ = data_of("vit")
    batch = training[torch.arange(1024)]
    assert batch.inputs.shape == (1024, 3, 32, 32)
    assert -1 <= batch.inputs.min() < -0.9
    assert 0.9 < batch.inputs.max() <= 1
    assert set(batch.targets.tolist()) == set(range(10))
    noise = training.inputs[:1].repeat(2, 1)
    noise[1, 9] += 1
    one, other = Examples(noise, training.targets[:2] * 0, training.make)[torch.arange(2)].inputs
    assert (one != other).float().mean() > 0.9
    assert (one - other).abs().max() <= 64 / 127.5 + 1e-6


def test_gpt_does_not_see_what_it_is_to_tell() -> None:
    model = make_task("gpt").model()
    training, _ = data_of("gpt")
    tokens = training[torch.arange(2)].inputs
    changed = tokens.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % 41
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])


def test_gpt_text_follows_its_rules() -> None:
    from trainers.tasks.gpt import CHARACTERS, written

    lines = written("a text", 20_000).split("\n")[:-1]
    assert set("".join(lines)) <= set(CHARACTERS)
    sums = [line for line in lines if "=" in line]
    assert len(lines) / 3 < len(sums) < len(lines) * 2 / 3
    for line in sums:
        left, _, right = line.partition("=")
        numbers = [int(number) for number in left.replace("*", "+").split("+")]
        assert int(right) == (math.prod(numbers) if "*" in left else sum(numbers))
    assert all(line.endswith(".") for line in lines if "=" not in line)


def test_gpt_targets_are_the_next_characters() -> None:
    training, _ = data_of("gpt")
    assert torch.equal(training.inputs[:, 1:], training.targets[:, :-1])
    assert torch.equal(training.inputs[1:, 0], training.targets[:-1, -1])


def test_drought_water_is_conserved() -> None:
    """What falls is in the soil or the snow, evaporated or ran off; nothing evaporates in frost."""
    from trainers.tasks.drought import ATTRIBUTES, water_balance

    lowest = {name: torch.tensor([low]) for name, (low, _) in ATTRIBUTES.items()}
    days = 400
    cold = torch.full((1, days), -500)
    soil, runoff = water_balance(torch.full((1, days), 300), cold, lowest)
    assert (soil.diff() == -runoff[:, 1:]).all()  # all that falls is snow
    rain = torch.full((1, days), 300)
    soil, runoff = water_balance(rain, torch.zeros(1, days, dtype=torch.int64), lowest)
    assert (soil.diff() == 300 - runoff[:, 1:]).all()
    assert (soil <= lowest["capacity"]).all()
    assert runoff[0, -1] == 300  # full, so that what comes in goes out
    dry, _ = water_balance(rain * 0, torch.full((1, days), 1500), lowest)
    assert 0 <= dry[0, -1] < dry[0, 0] / 10


def test_drought_of_all_but_the_first_days_is_told_once() -> None:
    from trainers.tasks.drought import SCALES, windows

    scale = SCALES["small"]
    known = torch.arange(365).view(1, 365, 1).expand(2, 365, 10)
    examples = windows(known, known[..., :2], scale)
    assert len(examples) == 2 * 5
    hidden = scale.window_days - scale.scored_days
    assert examples.targets[:5, :, 0].flatten().tolist() == list(range(hidden, hidden + 300))
    assert torch.equal(examples.inputs[:, hidden:, :2], examples.targets)


def test_emulator_integrates_a_uniform_ring_as_it_is_known_to_go() -> None:
    """There dx/dt = F - x."""
    from trainers.tasks.emulator import integrated

    start = torch.tensor([[-3.0], [1.0], [12.0]], dtype=torch.float64).expand(3, 8)
    expected = 8.0 + (start - 8.0) * math.exp(-10 * 0.05)
    torch.testing.assert_close(integrated(start, 10), expected, rtol=0, atol=1e-6)


def test_emulator_tendency_is_the_published_one() -> None:
    from trainers.tasks.emulator import tendency

    x = [1.0, 2.0, 4.0, 8.0, 16.0]
    expected = [(x[(k + 1) % 5] - x[k - 2]) * x[k - 1] - x[k] + 8 for k in range(5)]
    assert tendency(torch.tensor([x], dtype=torch.float64)).tolist() == [expected]


def test_virgo_strain_follows_from_what_the_channels_witness() -> None:
    from trainers.tasks.virgo import STRAIN_NOISE, chunk

    channels, strain = chunk("some", 256, 256)
    quiet = draw("some active", (256, 3), below=2).sum(dim=1) == 0
    assert 10 < quiet.sum() < 60
    assert strain[quiet].std().item() == pytest.approx(STRAIN_NOISE, rel=0.05)
    assert strain[~quiet].std() > 2 * STRAIN_NOISE
    assert channels[~quiet].std() > 2 * channels[quiet].std()


def test_draws_are_those_of_the_standard() -> None:
    """SHAKE-256 of nothing begins with 46b9dd2b, as FIPS 202's examples have it."""
    assert draw("", (1,), below=2**16).item() == 0x2BDD
    assert draw("some", (2, 3)).shape == (2, 3)
    assert torch.equal(draw("some", (4,)), draw("some", (10,))[:4])
    assert not torch.equal(draw("some", (4,)), draw("other", (4,)))


def test_draws_are_even_and_noise_is_of_variance_one() -> None:
    counts = draw("dice", (60_000,), below=6).bincount()
    assert len(counts) == 6
    assert all(9_600 < count < 10_400 for count in counts)
    between = draw_between("between", (10_000,), -1.0, 3.0)
    assert -1.0 <= between.min() < -0.99
    assert 2.99 < between.max() < 3.0
    noise = draw_noise("noise", (100, 1000))
    assert noise.mean().item() == pytest.approx(0.0, abs=0.02)
    assert noise.std().item() == pytest.approx(1.0, abs=0.02)
