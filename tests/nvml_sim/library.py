"""Compiles the stand-in library."""

import shutil
import subprocess
from pathlib import Path

from tests.patience import PATIENCE_S

SOURCE = Path(__file__).with_name("nvml_sim.c")
SONAME = "libnvidia-ml.so.1"


def build(folder: Path) -> Path:
    """Compile the library into `folder` under the name that programs look for; return its path.

    Raises `RuntimeError` where there is no C compiler or it does not accept the source.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError(
            "the tests compile a stand-in for NVIDIA's library and need a C compiler; "
            "install gcc (on Debian: apt-get install gcc libc6-dev)"
        )
    library = folder / SONAME
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", f"-Wl,-soname,{SONAME}"]
    command = [compiler, *flags, "-o", str(library), str(SOURCE), "-lm", "-lpthread"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"{compiler} does not compile {SOURCE.name}:\n{result.stderr}")
    # CodeCarbon takes a machine for one with NVIDIA GPUs where this command runs.
    nvidia_smi = folder / "nvidia-smi"
    nvidia_smi.write_text("#!/bin/sh\necho 'NVIDIA System Management Interface (simulated)'\n")
    nvidia_smi.chmod(0o755)
    return library
