"""What is kept about the processor, and when it no longer holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from carbon.meters import processor
from carbon.meters.processor import Processor

FOUND = Processor("EPYC 9654", 360.0)


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    """A file that holds `FOUND` for this host."""
    path = tmp_path / "not there yet" / "host.json"
    processor.save(FOUND, path)
    return path


def test_what_was_saved_is_loaded(cache_file: Path) -> None:
    assert processor.load(cache_file) == FOUND
    assert list(cache_file.parent.iterdir()) == [cache_file]


@pytest.mark.parametrize("found", [Processor(None, None), Processor("Neoverse-N1", None)])
def test_unknown_stays_unknown(cache_file: Path, found: Processor) -> None:
    processor.save(found, cache_file)
    assert processor.load(cache_file) == found


@pytest.mark.parametrize("key", ["codecarbon", "cpu_count", "kernel_cpu_model"])
def test_another_host_or_version_is_found_out_anew(cache_file: Path, key: str) -> None:
    document = json.loads(cache_file.read_text())
    assert document["valid_for"][key]
    document["valid_for"][key] = "another"
    cache_file.write_text(json.dumps(document))
    assert processor.load(cache_file) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"valid_for": {}}'],
)
def test_a_broken_file_is_none(cache_file: Path, content: bytes) -> None:
    cache_file.write_bytes(content)
    assert processor.load(cache_file) is None


@pytest.mark.parametrize(
    "kept",
    [
        None,
        {},
        {"model": "x"},
        {"model": 1, "max_power_w": 2.0},
        {"model": "x", "max_power_w": "y"},
    ],
)
def test_a_file_that_holds_something_else_is_none(cache_file: Path, kept: Any) -> None:
    document = json.loads(cache_file.read_text())
    cache_file.write_text(json.dumps(document | {"processor": kept}))
    assert processor.load(cache_file) is None


def test_no_file_no_finding(tmp_path: Path) -> None:
    assert processor.load(None) is None
    assert processor.load(tmp_path / "missing.json") is None
    assert processor.load(tmp_path) is None


def test_a_place_that_cannot_be_written_is_lived_with(tmp_path: Path) -> None:
    occupied = tmp_path / "a file"
    occupied.write_text("")
    processor.save(FOUND, occupied / "host.json")
    processor.save(FOUND, None)
    assert processor.load(occupied / "host.json") is None
