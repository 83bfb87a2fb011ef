"""`python -m trainers.install_horovod`: build Horovod for the PyTorch that is installed here.

Its last release, 0.28.1 of 2023, asks its compiler for C++14, and PyTorch's headers have needed
C++17 and now C++20 since. Nothing else in it stands in the way, so its source is fetched, checked
by its SHA-256, patched in the few places below and installed. Does nothing where that was done.
Variables of Horovod's own that are set (https://horovod.readthedocs.io/en/stable/install.html), as
HOROVOD_WITH_MPI=1, win over what is chosen here: gloo between CPUs, NCCL between GPUs.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from carbon.errors import CarbonError

VERSION = "0.28.1"
SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
"""Of https://pypi.org/project/horovod/0.28.1/#files, the only file there."""

OLDEST_CMAKE = (3, 13)
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


class Patch(NamedTuple):
    """A change to every place in a file of the source that reads `old`; `why` is for the reader."""

    file: str
    old: str
    new: str
    why: str


PATCHES = (
    Patch("CMakeLists.txt", "CXX_STANDARD 14", "CXX_STANDARD 20", "PyTorch's headers need it"),
    Patch("horovod/torch/CMakeLists.txt", "CXX_STANDARD 14", "CXX_STANDARD 20", "the same"),
    Patch(
        "horovod/torch/CMakeLists.txt",
        "from distutils.sysconfig import get_python_inc; print(get_python_inc())",
        "from sysconfig import get_path; print(get_path('include'))",
        "Python 3.12 has no distutils",
    ),
    Patch(
        "horovod/runner/js_run.py",
        "from distutils.spawn import find_executable",
        "from shutil import which as find_executable",
        "the same; horovodrun imports it",
    ),
    Patch("setup.py", "'RelWithDebInfo'", "'Release'", "symbols for a debugger take longer"),
)

# What is built. A build for something else than asked for, or for none, would show only at work.
CHOICES = {
    "HOROVOD_WITH_PYTORCH": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    # CMake 4 refuses what was written for CMake 2, as Horovod's copy of gloo is.
    "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
}

# A fresh process: this one has perhaps loaded an earlier build, or would keep this one's memory.
CHECK = """
import horovod.torch as hvd
hvd.init()
assert hvd.gloo_built(), "it was built without gloo"
hvd.shutdown()
"""


class InstallError(CarbonError):
    """Horovod could not be built here."""


def main() -> int:
    """Install Horovod into this Python's environment; return 1 where that is not possible."""
    stamp = Path(sys.prefix) / ".horovod"
    build = wanted()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == build:
        return 0
    try:
        compiler = _compiler()
        print(f"building {build} with {compiler}, a few minutes", flush=True)
        with tempfile.TemporaryDirectory(prefix="horovod-") as folder:
            install(Path(folder))
    except InstallError as error:
        print(f"trainers.install_horovod: {error}", file=sys.stderr)
        return 1
    stamp.write_text(build, encoding="utf-8")
    return 0


def install(folder: Path) -> None:
    """Fetch, patch, build, install and try Horovod; `folder` is for what is needed meanwhile.

    Raises:
        InstallError: one of these failed; what it said has been shown.
    """
    source = fetch(folder)
    patch(source)
    choices = CHOICES | _for_gpus()
    if all(name not in os.environ for name in ("HOROVOD_CMAKE", "CMAKE")) and not _has_cmake():
        choices["HOROVOD_CMAKE"] = str(_fetched_cmake(folder / "cmake"))
    environ = environ_of_build(choices, os.environ)
    _pip("install", "--no-build-isolation", str(source), environ=environ)
    _run([sys.executable, "-c", CHECK])


def environ_of_build(choices: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to build with: `choices` where `environ` has nothing else, all cores.

    A make that calls this has its own flags there, which are not meant for the build.
    """
    cores = {"MAKEFLAGS": f"-j{len(os.sched_getaffinity(0))}"}
    is_of_a_make = "MAKELEVEL" in environ
    return {**choices, **environ, **cores} if is_of_a_make else {**choices, **cores, **environ}


def fetch(folder: Path) -> Path:
    """Return the folder of Horovod's unpacked source.

    Raises:
        InstallError: it cannot be had, or is not the one that the patches are for.
    """
    exactly = folder / "horovod.txt"  # pip compares the file with the hash before it opens it.
    exactly.write_text(f"horovod=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    to = ["--dest", str(folder)]
    # With `--no-build-isolation` here too it is not given an environment to say its name in.
    only_source = ["--no-deps", "--no-binary", "horovod", "--no-build-isolation"]
    _pip("download", *only_source, *to, "--requirement", str(exactly), constrained=False)
    with tarfile.open(folder / f"horovod-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"horovod-{VERSION}"


def patch(source: Path) -> None:
    """Change the source in `source` as `PATCHES` say.

    Raises:
        InstallError: a place to change is not there.
    """
    for change in PATCHES:
        path = source / change.file
        text = path.read_text(encoding="utf-8")
        if change.old not in text:
            raise InstallError(f"{path} does not read {change.old!r}; its patch is for {VERSION}")
        path.write_text(text.replace(change.old, change.new), encoding="utf-8")


def wanted() -> str:
    """Say what is to be installed; another PyTorch, or other patches, need another build."""
    import torch

    patches = hashlib.sha256(repr(PATCHES).encode()).hexdigest()[:8]
    return f"Horovod {VERSION} for PyTorch {torch.__version__} (patches {patches})"


def _compiler() -> str:
    name = os.environ.get("CXX", "").split(" ")[0] or "c++"
    if shutil.which(name) is None or shutil.which("make") is None:
        raise InstallError(
            f"Horovod is built by {name} and make, and one is not installed; on Debian: "
            "apt-get install g++ make"
        )
    return name


def _for_gpus() -> dict[str, str]:
    """Choose NCCL where PyTorch was built for CUDA and its compiler is here."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if torch.version.cuda is None or CUDA_HOME is None:
        return {}
    return {"HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_CUDA_HOME": str(CUDA_HOME)}


def _has_cmake() -> bool:
    try:
        said = subprocess.run(["cmake", "--version"], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    found = re.search(r"version (\d+)\.(\d+)", said.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_CMAKE


def _fetched_cmake(folder: Path) -> Path:
    """Return the CMake of PyPI's package, for this build alone."""
    _pip("install", "--target", str(folder), "cmake>=3.20", constrained=False)
    # Not the script in `bin`, which looks for its package where Python looks for any.
    return folder / "cmake" / "data" / "bin" / "cmake"


def _pip(
    *arguments: str, constrained: bool = True, environ: Mapping[str, str] | None = None
) -> None:
    """Run pip of this environment; quiet, it shows a build's output where that failed."""
    constraints = ["--constraint", str(CONSTRAINTS)]
    versions = constraints if constrained and CONSTRAINTS.is_file() else []
    quiet = ["--quiet", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", arguments[0], *quiet, *versions, *arguments[1:]], environ)


def _run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    code = subprocess.run(command, env=environ).returncode
    if code != 0:
        shown = " ".join(["python", *command[1:]])
        raise InstallError(f"`{shown}` failed with exit code {code}; see above")


if __name__ == "__main__":
    sys.exit(main())
