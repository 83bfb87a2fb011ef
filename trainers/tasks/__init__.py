"""What can be trained, by name."""

from carbon.errors import UsageError
from trainers.tasks.base import Task
from trainers.tasks.digits import Digits

TASKS: dict[str, type[Task]] = {"digits": Digits}


def make_task(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}; there are: {', '.join(TASKS)}")
    return TASKS[name]()
