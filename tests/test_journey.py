"""One figure on its whole way: from a simulated GPU to a page in a real browser."""

import json
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page

from carbon import units, wording
from carbon.meters import codecarbon
from carbon.rest.client import Client
from carbon.schema import RunReport
from tests.fixtures.api import LiveApi
from tests.fixtures.browser import Watch, open_page, showing
from tests.fixtures.nvml import MakeGpus
from tests.nvml_sim.curve import SquareWave
from tests.patience import PATIENCE_S

TRAINING = """
import sys, time
import carbon
track = carbon.track
began_s = time.monotonic()
with track("journey", strategy="single", study="s", config={"lr": 0.1}) as run:
    for epoch in run.epochs(range(5)):
        ended_s = time.monotonic() + 1.0
        while time.monotonic() < ended_s:
            sum(range(1000))
        run.log(loss=1 / (epoch + 1))
ended_s = time.monotonic()
print(began_s, ended_s)
print(run.report.model_dump_json())
"""

# Two loads that differ and change faster than the edges of the window are known: the block is
# entered a little after `began_s` and left a little before `ended_s`, the counter moves in steps of
# 20 ms and is read every 100 ms. How exact slow bursts are is for the meters' own tests.
WAVES = (
    SquareWave(base_w=60, peak_w=300, period_s=0.05, duty=0.3, phase_s=0.0),
    SquareWave(base_w=100, peak_w=400, period_s=0.05, duty=0.5, phase_s=0.02),
)
TOLERANCE = 0.03


def test_the_same_figure_stands_at_every_stop(
    simulated_gpus: MakeGpus, live_api: LiveApi, tmp_path: Path, page: Page, watch: Watch
) -> None:
    gpus = simulated_gpus(2, waves=WAVES, counter_step_ms=20)
    spool = tmp_path / "tracker-spool"
    environ = {
        **os.environ,
        **gpus.env,
        "CARBON_API_URL": live_api.url,
        "CARBON_SPOOL_DIR": str(spool),
        "CARBON_COUNTRY_ISO_CODE": "FRA",
        "CARBON_PUE": "1.3",
    }

    # CodeCarbon finds out the processor once on a host, in seconds; a longer run would wait for it.
    codecarbon.open_host_meters(spool / "host.json")

    # The meter and the tracker, in a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", TRAINING],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    moments, printed = done.stdout.splitlines()
    began_s, ended_s = map(float, moments.split())
    report = RunReport.model_validate_json(printed)
    assert report.gpu_energy_method == "nvml_counter"
    assert report.gpu_energy_kwh is not None
    true_j = sum(gpus.energy_j(uuid, began_s, ended_s) for uuid in gpus.uuids)
    assert units.joules_from_kwh(report.gpu_energy_kwh) == pytest.approx(true_j, rel=TOLERANCE)
    assert [device.uuid for device in report.nodes[0].devices] == list(gpus.uuids)
    for device in report.nodes[0].devices:
        device_j = gpus.energy_j(device.uuid, began_s, ended_s)
        assert units.joules_from_kwh(device.energy_kwh or 0) == pytest.approx(
            device_j, rel=TOLERANCE
        )
        assert device.mean_utilization_percent == 70
    # CodeCarbon for the rest, and nothing counted twice: it sees the same GPUs and is not asked.
    assert report.cpu_energy_method in ("codecarbon_cpu_load", "rapl")
    assert report.ram_energy_method in ("codecarbon_ram", "rapl_dram")
    assert report.cpu_energy_kwh is not None
    assert report.ram_energy_kwh is not None
    assert report.energy_kwh == pytest.approx(
        report.gpu_energy_kwh + report.cpu_energy_kwh + report.ram_energy_kwh, rel=1e-9
    )
    assert report.emissions_kg == units.emissions_kg(report.energy_kwh or 0, 1.3, 56.039)
    assert len(report.epochs) == 5
    in_epochs_kwh = sum(epoch.energy_kwh or 0 for epoch in report.epochs)
    assert in_epochs_kwh == pytest.approx(report.energy_kwh or 0, rel=0.05)

    # The spool, which keeps what it has delivered.
    kept = (spool / "delivered" / str(report.run_id) / "report.json").read_text()
    assert RunReport.model_validate_json(kept) == report

    # HTTP and the table.
    with Client(live_api.settings) as client:
        assert client.run(report.run_id) == report
        summary = client.summary("journey")
    with sqlite3.connect(live_api.database) as database:
        ((stored,),) = database.execute("SELECT energy_kwh FROM runs").fetchall()
    database.close()
    assert Decimal(stored).scaleb(-12) == Decimal(repr(report.energy_kwh))
    assert summary.energy_kwh == report.energy_kwh
    assert summary.emissions_kg == report.emissions_kg

    # The page.
    with showing(live_api.url) as url:
        open_page(page, f"{url}/?project=journey")
        shown = {
            figure: page.locator(f"[data-figure={figure}] data").first
            for figure in ("energy", "emissions", "run-energy")
        }
        assert shown["energy"].get_attribute("value") == repr(report.energy_kwh)
        assert shown["energy"].inner_text() == wording.energy(report.energy_kwh)
        assert shown["run-energy"].get_attribute("value") == repr(report.energy_kwh)
        assert shown["emissions"].get_attribute("value") == repr(report.emissions_kg)
        assert shown["emissions"].inner_text() == wording.mass(report.emissions_kg)
        assert watch.complaints == []
        assert watch.requests_elsewhere == []
    assert json.loads(kept)["energy_kwh"] == report.energy_kwh
