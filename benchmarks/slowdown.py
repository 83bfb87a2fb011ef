"""How much slower a training becomes: the ratio of step times with and without tracking.

Two processes train under torchrun, on the CPU. Within the one run, blocks of steps with tracking
and without alternate in random order, so that whatever else slows the machine meets all arms alike.
The training without tracking has two arms: their ratio is known to be 1, and what is found for it
says how fine a difference this run could see.
"""

import json
import math
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import children, environments, simulated
from benchmarks.bench import Bench
from benchmarks.environments import SetUpError
from benchmarks.summary import Summary, median_interval
from benchmarks.table import Row
from benchmarks.tools import BY_NAME, NOTHING

SECTION = "slowdown"
ARMS = ("carbon_ledger", "codecarbon")
ON_EVERY_RANK = ("carbon_ledger",)
"""Nothing in CodeCarbon knows of ranks: on every rank it would count the machine every time."""
CONTROLS = ("without", "without again")
ROUNDS = 25
QUICK_ROUNDS = 4
BLOCK_S = 1.6
TIMEOUT_S = 900.0
SCRIPT = Path(__file__).with_name("ddp.py")


def measure(bench: Bench) -> list[Row]:
    """Measure the ratio for ours on both ranks and for CodeCarbon on the first."""
    arms = [arm for arm in ARMS if BY_NAME[arm] in bench.tools]
    bench.say(f"slowdown: {bench.rounds(ROUNDS, QUICK_ROUNDS)} rounds of {', '.join(arms)}")
    try:
        environment = environments.for_training()
        blocks = _train(bench, str(environment.python), arms)
    except (SetUpError, RuntimeError) as error:
        bench.failed(SECTION, NOTHING, error)
        return []
    return rows(blocks, arms)


def _train(bench: Bench, python: str, arms: list[str]) -> list[dict[str, Any]]:
    home = bench.folder / "slowdown"
    work = home / "work"
    work.mkdir(parents=True)
    result = home / "result.json"
    gpus = simulated.host(bench.library, home / "gpus.conf", 2, simulated.WITH_COUNTER)
    options = {
        "adapters": {arm: str(BY_NAME[arm].adapter) for arm in arms},
        "arms": [*CONTROLS, *arms],
        "on_every_rank": list(ON_EVERY_RANK),
        "rounds": bench.rounds(ROUNDS, QUICK_ROUNDS),
        "block_s": BLOCK_S,
        "seed": 0,
        "result": str(result),
    }
    launch = ["-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [python, *launch, str(SCRIPT), json.dumps(options)],
            cwd=work,
            env={**children.environ(home), **gpus.env, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the training still ran after {TIMEOUT_S:.0f} s") from None
    finally:
        children.end_all_at_home_in(home)
        process.wait()
    if not result.exists():
        said = (home / "output.txt").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the training failed: {said[-1000:]}")
    blocks: list[dict[str, Any]] = json.loads(result.read_text(encoding="utf-8"))["blocks"]
    return blocks


def rows(blocks: Sequence[dict[str, Any]], arms: Sequence[str]) -> list[Row]:
    """Return the ratio of each arm with its 95 % confidence interval."""
    cells: dict[str, Summary | str] = {arm: ratio(blocks, arm, CONTROLS) for arm in arms}
    cells[NOTHING.name] = ratio(blocks, CONTROLS[1], CONTROLS[:1])
    return [Row(SECTION, "step time with tracking / without", "", cells, decimals=4)]


def ratio(blocks: Sequence[dict[str, Any]], arm: str, controls: Sequence[str]) -> Summary:
    """Return the median over rounds of an arm's step time over the controls' geometric mean."""
    by_round: dict[int, dict[str, float]] = defaultdict(dict)
    for block in blocks:
        by_round[block["round"]][block["arm"]] = math.log(block["step_s"])
    differences = [
        logs[arm] - sum(logs[control] for control in controls) / len(controls)
        for logs in by_round.values()
    ]
    interval = median_interval(differences)
    return replace(
        interval,
        value=math.exp(interval.value),
        low=math.exp(interval.low),
        high=math.exp(interval.high),
    )
