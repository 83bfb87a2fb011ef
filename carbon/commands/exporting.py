"""Writing what the API exports to where the user wants it, whole or not at all."""

import sys
from collections.abc import Iterable
from pathlib import Path

from carbon.errors import UsageError


def write(parts: Iterable[bytes], output: Path | None) -> None:
    """Write the parts to a file, or to standard output where none is named.

    The file appears, or is replaced, once everything has arrived: half a table looks like a table.

    Raises:
        UsageError: a file that cannot be written.
    """
    if output is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    # What is no file, such as /dev/null, is written to and not replaced.
    is_replaced = output.is_file() or not output.exists()
    target = output.with_name(f"{output.name}.part") if is_replaced else output
    try:
        with target.open("wb") as file:
            file.writelines(parts)
        if is_replaced:
            target.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        if is_replaced:
            target.unlink(missing_ok=True)
