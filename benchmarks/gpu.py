"""On a real NVIDIA GPU: every way to measure it, side by side over the same load.

There is no true integral here. What shows is how far the ways differ, of which the board's counter
is the reference that its maker stands for.
"""

import contextlib
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import children, environments
from benchmarks.bench import Bench
from benchmarks.children import Child, ChildError
from benchmarks.environments import Environment
from benchmarks.summary import Summary, spread
from benchmarks.table import Row
from benchmarks.tools import BY_NAME, HERE, OURS, Tool

SECTION = "gpu"
LOADS = ("idle", "bursty", "full")
COUNTER = Tool("nvml_counter", None)
POWER = Tool("nvml_power", None)
COMPARED = (COUNTER, POWER, OURS, BY_NAME["codecarbon"], BY_NAME["zeus"])
WINDOW_S = (15.0, 16.0)
WINDOWS = 5
START_TIMEOUT_S = 120.0
TIMEOUT_S = 400.0

# By PCI bus, as NVML counts; the first board alone, whatever others there are.
FIRST_GPU = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}


@dataclass(frozen=True)
class Board:
    """The GPU that is measured."""

    name: str
    driver: str


def find() -> Board | None:
    """Return the first GPU that the machine's own NVIDIA driver lists, or None."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        if not pynvml.nvmlDeviceGetCount():
            return None
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        return Board(pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def measure(bench: Bench) -> list[Row]:
    """Measure windows of about fifteen seconds of each load, all ways beside each other."""
    tools = [tool for tool in COMPARED if tool in bench.tools or tool in (COUNTER, POWER)]
    by_load: dict[str, dict[str, list[float]]] = {}
    for load in LOADS:
        bench.say(f"gpu: {load}")
        try:
            with _loaded(bench, load):
                by_load[load] = _powers_w(bench, load, tools, FIRST_GPU)
        except ChildError as error:
            bench.failed(f"{SECTION}, {load}", COUNTER, error)
    return rows(by_load, [tool.name for tool in tools])


def _powers_w(
    bench: Bench, load: str, tools: Sequence[Tool], gpu_env: Mapping[str, str]
) -> dict[str, list[float]]:
    """Return the mean power of every window by every tool."""
    options = {"count": bench.rounds(WINDOWS), "gap_s": 1.0, "window_s": WINDOW_S}
    found: dict[str, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(Child(tool, _environment(bench, tool), "windows", options, gpu_env))
            for tool in tools
        ]
        for child in running:
            try:
                windows = child.result(TIMEOUT_S)["windows"]
            except ChildError as error:
                bench.failed(f"{SECTION}, {load}", child.tool, error)
                continue
            for window in windows:
                if window["energy_j"] is not None:
                    duration_s = window["ended_s"] - window["began_s"]
                    found[child.tool.name].append(window["energy_j"] / duration_s)
    return found


def _environment(bench: Bench, tool: Tool) -> Environment:
    # Ours has the binding for NVML, which is all that the plain ways need.
    return environments.for_tool(OURS) if tool in (COUNTER, POWER) else bench.environment(tool)


@contextlib.contextmanager
def _loaded(bench: Bench, load: str) -> Iterator[None]:
    """Keep the GPU at work meanwhile; raises `ChildError` where torch cannot."""
    if load == "idle":
        yield
        return
    python = environments.for_training().python
    home = bench.folder / f"gpu-{load}"
    home.mkdir()
    ready = home / "ready"
    process = subprocess.Popen(
        [str(python), "-P", str(HERE / "load.py"), load, str(ready)],
        cwd=home,
        env={**children.environ(home), **FIRST_GPU},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        children.wait_for_moment(process, ready, START_TIMEOUT_S, _no_load)
        yield
    finally:
        process.kill()
        process.wait()


def _no_load() -> str:
    return "torch finds no GPU to work on"


def rows(by_load: Mapping[str, Mapping[str, Sequence[float]]], tools: Sequence[str]) -> list[Row]:
    """Return the mean power by load and tool."""
    made = []
    for load, powers_w in by_load.items():
        cells: dict[str, Summary | str] = {
            tool: spread(powers_w[tool]) if powers_w.get(tool) else "fails" for tool in tools
        }
        made.append(Row(SECTION, f"{load}: mean power", "W", cells))
    return made


def short(board: Board) -> str:
    """Return the board's name for the name of a file."""
    return re.sub(r"^nvidia ", "", board.name.lower())
