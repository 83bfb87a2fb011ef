"""What one thread prints while it is muted, and what the others do."""

import sys
import threading

import pytest

from carbon.meters.muted import muted


def test_this_thread_is_muted_and_others_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with muted():
        sys.stdout.write("of the package\n")
        other = threading.Thread(target=print, args=["of the training"])
        other.start()
        other.join()
        sys.stdout.flush()
        assert sys.stdout.encoding == before.encoding
    sys.stdout.write("afterwards\n")
    assert sys.stdout is before
    assert capsys.readouterr().out == "of the training\nafterwards\n"


def test_it_is_undone_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), muted():
        raise KeyError("libamd_smi.so")
    sys.stdout.write("heard\n")
    assert capsys.readouterr().out == "heard\n"


def test_a_stream_that_the_program_sets_meanwhile_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = sys.stderr
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # Put back when the test ends.
    with muted():
        sys.stdout = stream
    assert sys.stdout is stream
