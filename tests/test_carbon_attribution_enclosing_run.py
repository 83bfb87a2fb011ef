"""`carbon.track` inside of `carbon run` where the two cannot meet in the spool."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carbon import units
from carbon.attribution import enclosing_run
from carbon.attribution.topology import detect
from carbon.delivery.delivery import deliver
from carbon.rest.client import Client
from carbon.settings import Settings
from carbon.spool.spool import Spool
from tests.fixtures.api import LiveApi
from tests.fixtures.nvml import MakeGpus
from tests.patience import PATIENCE_S
from tests.test_carbon_joining import STEADY
from tests.test_carbon_tracking_launch import CARBON_RUN

pytestmark = pytest.mark.usefixtures("known_processor")

TRACKED = """
import time
import carbon
from carbon.tracking.metering import Sources, machine_sources
with carbon.track("inner", sources=Sources(machine_sources(None).accelerators, list)) as run:
    for epoch in run.epochs(range(3)):
        time.sleep(0.3)
        run.log(loss=float(epoch))
"""


def may_write(most_bytes: int) -> None:
    """Let no file of this process and of those that it starts be longer, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


@pytest.mark.parametrize("most_bytes", [None, 0, 3000], ids=["unusable", "full", "filling up"])
def test_without_a_spool_it_is_one_run_that_carbon_run_has_measured(
    most_bytes: int | None,
    settings: Settings,
    tracked_env: dict[str, str],
    live_api: LiveApi,
    simulated_gpus: MakeGpus,
    tmp_path: Path,
) -> None:
    gpus = simulated_gpus(2, waves=STEADY)
    env = tracked_env | gpus.env | {"CARBON_API_URL": live_api.url, "CARBON_LIVE_INTERVAL_S": "0.2"}
    if most_bytes is None:
        (tmp_path / "file").write_text("")
        env["CARBON_SPOOL_DIR"] = str(tmp_path / "file" / "spool")
    done = subprocess.run(
        [*CARBON_RUN, "--", sys.executable, "-c", TRACKED],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        preexec_fn=None if most_bytes is None else lambda: may_write(most_bytes),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with Client(live_api.settings) as client:
        (item,) = client.runs().items
        report = client.run(item.run_id)
        assert (report.project, report.status) == ("digits", "completed")
        assert [epoch.metrics for epoch in report.epochs] == [{"loss": float(i)} for i in range(3)]
        (node,) = report.nodes
        assert [device.uuid for device in node.devices] == gpus.uuids
        energy_j = units.joules_from_kwh(report.gpu_energy_kwh or 0.0)
        assert energy_j == pytest.approx(320 * report.duration_s, rel=0.03)
        # What has come to the disk says less, and must not take the place of it.
        deliver(Spool(settings.spool_dir), client)
        (again,) = client.runs().items
        assert again.gpu_energy_kwh == report.gpu_energy_kwh


def test_it_is_known_on_its_own_host_and_while_it_lives() -> None:
    host = detect({}).hostname
    child = subprocess.Popen(["sleep", "60"])
    try:
        around = detect({enclosing_run.VARIABLE: f"{child.pid}@{host}"})
        assert around.is_measured_around
        assert detect(
            {enclosing_run.VARIABLE: enclosing_run.this_process(host)}
        ).carbon_run_pid == (os.getpid())
    finally:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not around.is_measured_around, "its exit code alone is left"
    child.wait()
    assert not around.is_measured_around
    for value in ("", "@", f"x@{host}", f"{os.getpid()}@another", f"-1@{host}"):
        assert not detect({enclosing_run.VARIABLE: value}).is_measured_around
