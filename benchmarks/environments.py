"""Environments of their own for the tools, made once under `.bench/` and kept."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools import OURS, Tool

ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".bench"
INSTALL_TIMEOUT_S = 1800.0
PACKAGES = ("carbon", "api", "ui", "trainers")
TORCH = "torch"


class SetUpError(Exception):
    """An environment cannot be made; the message ends with what pip said."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """Return the version of every distribution in it."""
        listed = _run([str(self.python), "-m", "pip", "list", "--format=freeze"])
        return dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)


def for_tool(tool: Tool) -> Environment:
    """Make the tool's environment, or find it made already.

    Raises:
        SetUpError: what it needs cannot be installed.
    """
    if tool.distribution is None:
        return Environment(Path(sys.prefix))
    if tool == OURS:
        return _ours("carbon_ledger", extra=[])
    stamp = tool.requirements.read_bytes()
    return _made(tool.name, stamp, [["--requirement", str(tool.requirements)]])


def for_training() -> Environment:
    """Make the environment of a training: ours, CodeCarbon (which ours installs) and torch."""
    return _ours("training", extra=[TORCH])


def _ours(name: str, extra: list[str]) -> Environment:
    """Install this source tree as a user would: its base, no extra of it, and not editable."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    with tempfile.TemporaryDirectory() as build:
        # Not into `build/`, where files that are no longer in the tree would come along.
        settings = Path(build) / "build.cfg"
        settings.write_text(f"[build]\nbuild_base = {build}\n[egg_info]\negg_base = {build}\n")
        return _made(
            name,
            digest.digest(),
            [[*constraints, str(ROOT), *extra], ["--no-deps", "--force-reinstall", str(ROOT)]],
            {"DIST_EXTRA_CONFIG": str(settings)},
        )


def _made(
    name: str, stamp: bytes, installs: list[list[str]], environ: dict[str, str] | None = None
) -> Environment:
    environment = Environment(BENCH / name)
    stamp_file = environment.folder / "installed"
    wanted = hashlib.sha256(stamp + sys.version.encode()).hexdigest()
    if stamp_file.exists() and stamp_file.read_text(encoding="utf-8") == wanted:
        return environment
    print(f"installing {name} into .bench/{name}", file=sys.stderr, flush=True)
    if not environment.python.exists():
        shutil.rmtree(environment.folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(environment.folder)])
    stamp_file.unlink(missing_ok=True)
    pip = [str(environment.python), "-m", "pip", "install", "--quiet"]
    for arguments in installs:
        _run([*pip, "--disable-pip-version-check", *arguments], environ)
    stamp_file.write_text(wanted, encoding="utf-8")
    return environment


def _run(command: list[str], environ: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": "", **(environ or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetUpError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise SetUpError(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    return done.stdout
