"""What runs in a tool's own process: a script, for Pythons that know neither us nor each other.

    python -P child.py MODE ADAPTER RESULT OPTIONS

MODE is one of the functions in `MODES`, ADAPTER the path of an adapter, RESULT the file to write,
OPTIONS a JSON object. It imports the standard library alone, before and beside the tool.
"""

import importlib.util
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Adapter(Protocol):
    """What the files in `adapters` have in common."""

    ENDS_WITH_BLOCK: bool
    """Whether the tool is documented to be used in a `with` block, which an exception ends too."""

    def start(self) -> Any: ...
    def new_epoch(self, tracker: Any) -> None: ...
    def stop(self, tracker: Any) -> None: ...
    def gpu_energy_j(self, tracker: Any) -> float | None: ...


def load(path: str) -> ModuleType:
    """Import the adapter, and with it the tool."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapter"] = module
    spec.loader.exec_module(module)
    return module


def latency(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """How long the training waits: for the import, at either end of the first block and of more."""
    began_s = time.perf_counter()
    adapter = load(path)
    imported_s = time.perf_counter()
    result: dict[str, Any] = {"import_s": imported_s - began_s, "enter_s": [], "exit_s": []}
    for number in range(1 + options["further"]):
        before_s = time.perf_counter()
        tracker = adapter.start()
        result["enter_s"].append(time.perf_counter() - before_s)
        time.sleep(options["first_s"] if number == 0 else options["further_s"])
        before_s = time.perf_counter()
        adapter.stop(tracker)
        result["exit_s"].append(time.perf_counter() - before_s)
    result["done_at_s"] = time.monotonic()
    return result


def cpu(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """What tracking a process that sleeps takes of the processor, of memory and of threads."""
    at_start_s = cpu_time_s()
    adapter = load(path)
    tracker = adapter.start()
    time.sleep(options["settle_s"])
    settled_s, began_s = cpu_time_s(), time.perf_counter()
    time.sleep(options["window_s"])
    cpu_s, duration_s = cpu_time_s() - settled_s, time.perf_counter() - began_s
    family = [os.getpid(), *descendants(os.getpid())]
    result = {
        "cpu_s_per_s": cpu_s / duration_s,
        "rss_bytes": sum(rss_bytes(pid) for pid in family),
        "threads": sum(len(tasks(pid)) for pid in family),
        "processes": len(family),
    }
    before_s = cpu_time_s()
    adapter.stop(tracker)
    return {**result, "once_cpu_s": settled_s - at_start_s + cpu_time_s() - before_s}


def windows(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Measure several windows; the moments are those at which the block's body begins and ends."""
    adapter = load(path)
    found = []
    for _ in range(options["count"]):
        time.sleep(random.uniform(0, options["gap_s"]))
        tracker = adapter.start()
        began_s = time.monotonic()
        time.sleep(random.uniform(*options["window_s"]))
        ended_s = time.monotonic()
        adapter.stop(tracker)
        energy_j = adapter.gpu_energy_j(tracker)
        found.append({"began_s": began_s, "ended_s": ended_s, "energy_j": energy_j})
    return {"windows": found}


def endless(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Train until somebody ends the process or, after `raise_after_s`, an exception does."""
    adapter = load(path)
    tracker = adapter.start()
    began_s = time.monotonic()
    Path(options["started_file"]).write_text(repr(began_s), encoding="utf-8")
    raise_after_s = options.get("raise_after_s")
    for epoch in range(1, 1_000_000):
        next_s = began_s + epoch * options["epoch_s"]
        if raise_after_s is not None and began_s + raise_after_s < next_s:
            time.sleep(max(began_s + raise_after_s - time.monotonic(), 0.0))
            Path(options["ended_file"]).write_text(repr(time.monotonic()), encoding="utf-8")
            if adapter.ENDS_WITH_BLOCK:
                adapter.stop(tracker)
            raise RuntimeError("as was asked for")
        time.sleep(max(next_s - time.monotonic(), 0.0))
        adapter.new_epoch(tracker)
    return {}


def cpu_time_s() -> float:
    """Processor time of this process, of its children that ended and of those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living_s = sum(living_cpu_s(pid) for pid in descendants(os.getpid()))
    return time.process_time() + ended.ru_utime + ended.ru_stime + living_s


def living_cpu_s(pid: int) -> float:
    """Processor time of another process and of its children that ended, in ticks of 10 ms."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    after_name = text.rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in after_name[11:15]) * TICK_S


def descendants(pid: int) -> list[int]:
    """The children of a process, their children and so on."""
    found: list[int] = []
    for task in tasks(pid):
        try:
            text = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="utf-8")
        except OSError:
            continue
        for child in map(int, text.split()):
            found += [child, *descendants(child)]
    return found


def tasks(pid: int) -> list[str]:
    """The threads of a process, whatever made them."""
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def rss_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(text.split()[1]) * PAGE_BYTES


MODES: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "latency": latency,
    "cpu": cpu,
    "windows": windows,
    "endless": endless,
}


def main() -> None:
    mode, adapter, result_file, options = sys.argv[1:]
    result = MODES[mode](adapter, json.loads(options))
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
