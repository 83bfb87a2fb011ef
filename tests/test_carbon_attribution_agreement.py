"""Several nodes of a launch are one run."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from torch._C._distributed_c10d import TCPStore

from carbon.attribution.agreement import agree
from carbon.attribution.run_id import new_run_id
from carbon.settings import Settings
from carbon.spool.spool import Spool
from tests.fixtures.spools import settled
from tests.fixtures.tracking import closed_port, joules
from tests.patience import PATIENCE_S

SCRIPT = """
import os, time
import torch.distributed
from carbon.attribution import topology
topology.hostname = lambda: os.environ["NODE"]  # Two nodes, of which the test has one.
import carbon
from tests.fixtures.tracking import steady_sources
torch.distributed.init_process_group("gloo")
with carbon.track("digits", strategy="ddp", sources=steady_sources([300.0])) as run:
    for epoch in run.epochs(range(2)):
        time.sleep(0.3)
        torch.distributed.barrier()
with carbon.track("digits", strategy="ddp", sources=steady_sources([])) as second:
    torch.distributed.barrier()
assert second.run_id != run.run_id
print(run.run_id)
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def store() -> TCPStore:
    wait = timedelta(seconds=5)
    return TCPStore("127.0.0.1", 0, is_master=True, timeout=wait, wait_for_workers=False)


def test_who_comes_first_names_the_run(store: TCPStore) -> None:
    environ = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    first, second = new_run_id(), new_run_id()
    assert agree("one", first, environ) == first
    assert agree("one", second, environ) == first
    assert agree("other", second, environ) == second


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"},
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999999"},
        {"MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "1"},
    ],
)
def test_without_a_store_there_is_no_agreement(environ: dict[str, str]) -> None:
    assert agree("one", new_run_id(), environ) is None


def test_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(closed_port())}
    assert agree("one", new_run_id(), environ) is None
    assert "CARBON_RUN_ID" in caplog.text


def start_node(
    rank: int, port: int, rendezvous: list[str], env: dict[str, str], script: Path
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"),
            *("--nproc-per-node", "2", "--node-rank", str(rank)),
            *[word.format(port=port) for word in rendezvous],
            str(script),
        ],
        env=env | {"PYTHONPATH": os.getcwd(), "NODE": f"node-{rank}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


RENDEZVOUS = {
    "static": ["--master-addr", "127.0.0.1", "--master-port", "{port}"],
    "c10d": ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:{port}", "--rdzv-id", "1"],
}


@pytest.mark.parametrize(
    ("rendezvous", "is_shared"),
    [("static", True), ("c10d", False)],
    ids=["static, one spool", "c10d, two spools"],
)
def test_two_nodes_of_torchrun_are_one_run(
    rendezvous: str,
    is_shared: bool,
    tracked_env: dict[str, str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    port = closed_port()
    spools = [settings.spool_dir, settings.spool_dir if is_shared else tmp_path / "spool-1"]
    nodes = [
        start_node(
            rank,
            port,
            RENDEZVOUS[rendezvous],
            tracked_env | {"CARBON_SPOOL_DIR": str(spool)},
            script,
        )
        for rank, spool in enumerate(spools)
    ]
    outputs = [node.communicate(timeout=PATIENCE_S) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    said = {line for out, _ in outputs for line in out.split() if line.count("-") == 4}
    (run_id,) = said
    shares = [settled(Spool(spool), UUID(run_id)) for spool in dict.fromkeys(spools)]
    hosts = [node.hostname for share in shares for node in share.nodes]
    assert sorted(hosts) == ["node-0", "node-1"]
    for share in shares:
        assert (share.n_nodes, share.world_size, share.status) == (2, 4, "completed")
        assert len(share.epochs) == 2
        # Each node's CPU, RAM and GPU once, whatever its number of ranks, from when it came.
        at_most_j = 370 * share.duration_s * len(share.nodes)
        assert 0.7 * at_most_j < joules(share) < 1.01 * at_most_j
