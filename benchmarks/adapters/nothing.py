"""The floor: a context that does nothing."""

import contextlib

ENDS_WITH_BLOCK = True


def start() -> object:
    context = contextlib.nullcontext()
    context.__enter__()
    return context


def new_epoch(tracker: object) -> None:
    pass


def stop(tracker: object) -> None:
    pass


def gpu_energy_j(tracker: object) -> None:
    return None
