"""The end of the interpreter and the threads it does not wait for.

A daemon thread that wants to go on while the interpreter is taken down is ended where it stands.
Inside pydantic's compiled code that brings the whole process down with a signal, which a training
would be blamed for. So who validates or writes models in such a thread does it `at_work`: the
interpreter's end waits a moment for that, and nobody begins with it any more.
"""

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

WAIT_S = 2.0
"""How long the end of the process waits at most for threads that are at work."""

_changed = threading.Condition()
_at_work = 0
_is_leaving = False


@contextmanager
def at_work() -> Iterator[None]:
    """Do something that must not be cut off; in a daemon thread, once the end has come, never.

    Not to be nested, nor held while waiting for anything.
    """
    global _at_work
    if not threading.current_thread().daemon:
        yield
        return
    with _changed:
        while _is_leaving:
            _changed.wait()
        _at_work += 1
    try:
        yield
    finally:
        with _changed:
            _at_work -= 1
            _changed.notify_all()


def _leave() -> None:
    global _is_leaving
    with _changed:
        _is_leaving = True
        _changed.wait_for(lambda: not _at_work, WAIT_S)
    _end_by_interrupt_again()


def _end_by_interrupt_again() -> None:
    """Let a process that Ctrl-C has ended still end by SIGINT, not by exit code 1.

    CPython notes that an interrupt went unhandled when it leaves a piece of source that is run, and
    forgets it when it runs another one (`run_eval_code_obj` in Python/pythonrun.c). Modules that
    are imported late run such pieces, to make their dataclasses for example. A shell's loop over
    trainings stops at the one and goes on after the other.
    """
    is_interactive = hasattr(sys, "ps1") or sys.flags.inspect
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not is_interactive:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def _begin_anew() -> None:
    """Forget the threads of the parent, of which a forked child has none."""
    global _changed, _at_work
    _changed = threading.Condition()
    _at_work = 0


atexit.register(_leave)
os.register_at_fork(after_in_child=_begin_anew)
