"""Compiles the stand-in library, with every symbol that the installed package looks for."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from tests.patience import PATIENCE_S

SOURCE = Path(__file__).with_name("amdsmi_sim.c")
_SYMBOL = re.compile(r"_libraries\['libamd_smi\.so'\]\.(\w+)")
_NOT_SUPPORTED = 2


def package_folder() -> Path | None:
    """Return where the package amdsmi is installed, or None where it is not."""
    spec = importlib.util.find_spec("amdsmi")
    return Path(spec.origin).parent if spec and spec.origin else None


def build(package: Path, rocm: Path) -> None:
    """Compile the library into the folder of a ROCm, `rocm`, where the package looks for it.

    Raises `RuntimeError` where there is no C compiler or it does not accept the source.
    """
    wrapper = (package / "amdsmi_wrapper.py").read_text(encoding="utf-8")
    source = SOURCE.read_text(encoding="utf-8")
    wanted = sorted({name for name in _SYMBOL.findall(wrapper) if f"int {name}(" not in source})
    stubs = "".join(f"int {name}(void) {{ return {_NOT_SUPPORTED}; }}\n" for name in wanted)
    (rocm / "lib").mkdir(parents=True)
    everything = rocm / "amdsmi_sim.c"
    everything.write_text(source + stubs, encoding="utf-8")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the tests compile a stand-in for ROCm's library and need a C compiler")
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-fPIC", "-shared"]
    command = [compiler, *flags, "-o", str(rocm / "lib" / "libamd_smi.so"), str(everything)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"{compiler} does not compile {SOURCE.name}:\n{result.stderr}")
