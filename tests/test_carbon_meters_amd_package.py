"""AMD GPUs through the package amdsmi itself, on a compiled stand-in for ROCm's library."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.amdsmi_sim import library
from tests.patience import PATIENCE_S

PACKAGE = library.package_folder()
pytestmark = pytest.mark.skipif(
    PACKAGE is None, reason="the optional package amdsmi is not installed: pip install amdsmi"
)

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from carbon.meters import amd
driver = Path(sys.argv[1])
before_s = time.monotonic()
meters = amd.open_meters(os.environ, driver=driver)
opened_s = time.monotonic()
time.sleep(0.25)
read_s = time.monotonic()
energy_j = [m.read().energy_j for m in meters]
after_s = time.monotonic()
print(json.dumps({
    "devices": [[m.device.uuid, m.device.index, m.device.name] for m in meters],
    "methods": [m.method for m in meters],
    "energy_j": energy_j,
    "least_s": read_s - opened_s,
    "most_s": after_s - before_s,
    "utilization_percent": [m.utilization_percent() for m in meters],
    "notes": [m.note for m in meters],
    "why": amd.explain(os.environ, driver=driver),
}))
"""


@pytest.fixture(scope="module")
def rocm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a ROCm with the library alone."""
    assert PACKAGE is not None
    folder = tmp_path_factory.mktemp("rocm") / "rocm"
    library.build(PACKAGE, folder)
    return folder


def metered(rocm: Path, **environ: str) -> dict[str, Any]:
    hidden = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(rocm)],
        env={name: value for name, value in os.environ.items() if name not in hidden}
        | {"ROCM_PATH": str(rocm), "AMDSMI_SIM_POWER_W": "400"}
        | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return cast(dict[str, Any], json.loads(result.stdout))


@pytest.mark.parametrize("visible", [None, "0", "1", "GPU-000000000000abc1"])
def test_a_card_of_two_dies(rocm: Path, visible: str | None) -> None:
    seen = metered(rocm, **({"ROCR_VISIBLE_DEVICES": visible} if visible else {}))
    least_j, most_j = 400 * seen.pop("least_s"), 400 * seen.pop("most_s")
    (energy_j,) = seen.pop("energy_j")
    assert least_j * (1 - 1e-6) <= energy_j <= most_j * (1 + 1e-6)
    assert seen == {
        "devices": [["00ff7408-0000-1000-8011-82f2988c0a4c", 0, "AMD Instinct MI250X"]],
        "methods": ["amdsmi_counter"],
        "utilization_percent": [60],
        "notes": ["GPUs 0, 1 are one card and have one meter"],
        "why": None,
    }


def test_gpus_that_are_hidden(rocm: Path) -> None:
    seen = metered(rocm, HIP_VISIBLE_DEVICES="-1")
    assert seen["devices"] == []
    assert seen["why"] == "HIP_VISIBLE_DEVICES='-1' hides all 2 AMD GPUs of this machine"


def test_a_library_without_its_driver(rocm: Path) -> None:
    seen = metered(rocm, AMDSMI_SIM_NO_DRIVER="1")
    assert (seen["devices"], seen["why"]) == ([], "the amdgpu driver is not loaded")


def test_a_package_without_its_library(tmp_path: Path) -> None:
    seen = metered(tmp_path, ROCM_PATH=str(tmp_path))
    assert seen["devices"] == []
    assert seen["why"].startswith("amdsmi cannot be loaded: libamd_smi.so of ROCm is missing")
