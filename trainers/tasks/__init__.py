"""What can be trained, by name and size."""

from collections.abc import Callable
from typing import get_args

from carbon.errors import UsageError
from trainers.tasks.base import Size, Task
from trainers.tasks.digits import Digits
from trainers.tasks.drought import Drought
from trainers.tasks.emulator import Emulator
from trainers.tasks.gpt import Gpt
from trainers.tasks.virgo import Virgo
from trainers.tasks.vit import Vit

TASKS: dict[str, Callable[[Size], Task]] = {
    task.name: task for task in (Digits, Virgo, Drought, Vit, Emulator, Gpt)
}
SIZES: tuple[Size, ...] = get_args(Size)


def make_task(name: str, size: str = "small") -> Task:
    """Return the task called `name`, of one of `SIZES`; its data are not made yet.

    Raises:
        UsageError: there is none of that name or size.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}; there are: {', '.join(TASKS)}")
    for each in SIZES:
        if each == size:
            return TASKS[name](each)
    raise UsageError(f"task {name!r} has no size {size!r}; there are: {', '.join(SIZES)}")
