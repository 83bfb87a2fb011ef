"""The tasks of the trainers by name, to be known before any of their libraries is loaded."""

TASKS = ("digits", "virgo", "drought", "vit", "emulator", "gpt")


def unknown(task: str) -> str | None:
    """Return the sentence that says that there is no such task; None where there is."""
    return None if task in TASKS else f"{task!r} is none of the trainers': {', '.join(TASKS)}"
