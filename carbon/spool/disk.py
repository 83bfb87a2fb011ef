"""Whether a directory can be written, and how much room there is."""

import os
import shutil
import tempfile
from pathlib import Path


def why_not_writable(directory: Path) -> str | None:
    """Return why no file can be made in a directory, or None where one can; makes the directory.

    Asked by doing it: permissions say nothing of a full or a read-only disk.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".probe-") as probe:
            probe.write(b"?")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def free_bytes(directory: Path) -> int | None:
    """Return how much of the directory's disk this user may still fill; None where unknown."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None
