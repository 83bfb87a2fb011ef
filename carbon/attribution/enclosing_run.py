"""The `carbon run` around a process, as the process's environment tells of it.

Processes of a run come to terms through the spool. Where that cannot be used, this says which of
them measures.
"""

import os
from collections.abc import Mapping

VARIABLE = "CARBON_RUN_PROCESS"
"""Set by `carbon run` for the command that it starts: its own process number, and its host."""


def this_process(hostname: str) -> str:
    """Return what `VARIABLE` says of this process."""
    return f"{os.getpid()}@{hostname}"


def pid_in(environ: Mapping[str, str], hostname: str) -> int | None:
    """Return the number of the `carbon run` around a process with these variables.

    None where there is none, or where it is on another host: it measures nothing here then.
    """
    pid, _, host = environ.get(VARIABLE, "").partition("@")
    return int(pid) if host == hostname and pid.isdecimal() and len(pid) <= 9 else None


def is_alive(pid: int) -> bool:
    """Tell whether the process is still there, and not only its exit code."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
