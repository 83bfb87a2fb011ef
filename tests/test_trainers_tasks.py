"""The tasks: their data are what they say, and what they answer is for each example on its own."""

import pytest
import torch

from carbon.errors import UsageError
from trainers.tasks import TASKS, make_task
from trainers.tasks.base import DataError
from trainers.tasks.digits import Digits, check

tasks = pytest.mark.parametrize("name", TASKS)


def test_an_unknown_task_is_named_beside_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'mnist'.*digits"):
        make_task("mnist")


@tasks
def test_data_are_the_same_every_time(name: str) -> None:
    first, second = make_task(name).data(), make_task(name).data()
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


@tasks
def test_a_batch_split_in_two_has_the_losses_and_metrics_of_the_whole(name: str) -> None:
    task = make_task(name)
    model = task.model().double().eval()
    training, _ = task.data()
    batch = training[torch.arange(9)]
    outputs = model(batch.inputs.double())
    halves = torch.cat([model(part.double()) for part in batch.inputs.tensor_split(2)])

    torch.testing.assert_close(halves, outputs)
    assert task.loss(outputs, batch.targets).shape == (9,)
    for values in task.metrics(outputs, batch.targets).values():
        assert values.shape == (9,)


def test_digits_are_all_1797_images_each_either_for_training_or_for_the_test() -> None:
    training, test = Digits().data()
    assert training.inputs.shape == (1440, 1, 8, 8)
    assert test.inputs.shape == (357, 1, 8, 8)
    everything = torch.cat([training.inputs, test.inputs])
    assert everything.min() == 0.0
    assert everything.max() == 1.0
    assert len({image.numpy().tobytes() for image in everything}) == 1797
    assert set(test.targets.tolist()) == set(range(10))


@pytest.mark.parametrize("changed", ["pixel", "label"])
def test_one_changed_pixel_or_label_is_refused(changed: str) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(digits.images).to(torch.uint8)
    labels = torch.from_numpy(digits.target).to(torch.uint8)
    check(pixels, labels)
    if changed == "pixel":
        pixels[1000, 4, 4] ^= 1
    else:
        labels[1000] ^= 1
    with pytest.raises(DataError, match="checksum"):
        check(pixels, labels)
