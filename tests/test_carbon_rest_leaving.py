"""Threads that are at work while the interpreter ends."""

import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S

# In a thread as a tracker's are, models are made all the time; the process just ends.
SCRIPT = """
import os, sys, threading, time
from carbon.rest.leaving import at_work
from carbon.schema import EpochReport, RunReport
from tests.factories import make_report
epochs = [EpochReport(index=i, duration_s=1.0, metrics={"a": 1.0}) for i in range(1000)]
document = make_report(epochs=epochs).model_dump()
begun = threading.Event()
def work():
    while True:
        with at_work():
            RunReport.model_validate(document)
        begun.set()
threading.Thread(target=work, daemon=True).start()
begun.wait()
if sys.argv[1:] == ["fork"] and os.fork() == 0:
    with at_work():
        sys.exit(7)
"""


@pytest.mark.parametrize("arguments", [[], ["fork"]])
def test_an_interpreter_that_goes_meanwhile_goes_in_peace(arguments: list[str]) -> None:
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stderr) == (0, "")
