"""What a run runs in: its place's grid, the versions of its software, the commit of its code, who
runs it.

Asked by the recorder's thread: what takes long to load is loaded there and not with the tracker.
"""

import os
import platform
import sys
from typing import Any

from carbon.settings import Settings

# Distributions whose version matters to a training's speed or to how it was measured. Those of the
# second kind are ours and always there; a framework is named only where the run has loaded it.
_FRAMEWORKS = {"torch": "torch", "deepspeed": "deepspeed", "horovod": "horovod", "ray": "ray"}
_OURS = ("carbon-ledger", "codecarbon", "nvidia-ml-py")

_LONGEST_NAME = 150
"""In characters; however many bytes each has, a report can hold them."""


def place(settings: Settings) -> dict[str, Any]:
    """Return the fields of a report's `Place`; an unknown place has no intensity."""
    fields: dict[str, Any] = {
        "country_iso_code": settings.country_iso_code,
        "region": settings.region,
        "pue": settings.pue,
    }
    from carbon import grid

    factor = grid.lookup(settings.country_iso_code, settings.region)
    if factor is not None:
        fields["intensity_g_per_kwh"] = factor.intensity_g_per_kwh
        fields["intensity_source"] = factor.source
        fields["intensity_year"] = factor.year
        fields["factor_table"] = grid.bundled_version()
    return fields


def software() -> dict[str, str]:
    """Return the versions of what this process has loaded and of what measures it."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "os": f"{platform.system()} {platform.release()}"}
    loaded = [name for module, name in _FRAMEWORKS.items() if module in sys.modules]
    for name in (*_OURS, *loaded):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # Run from a source tree, or a vendored framework.
    torch_version = getattr(sys.modules.get("torch"), "version", None)
    if cuda := getattr(torch_version, "cuda", None):
        found["cuda"] = str(cuda)
    return found


def user(named: str | None) -> str | None:
    """Return who runs this, by the name that was given, else by that of their account.

    Asks what names the accounts, which may be another machine. An account without a name, as of a
    container's made-up number, is unknown.

    Args:
        named: the setting; an empty text names nobody.
    """
    if named is not None:
        return named or None
    if name := os.environ.get("SLURM_JOB_USER"):
        return _as_name(name)
    try:
        import pwd

        return _as_name(pwd.getpwuid(os.getuid()).pw_name)
    except (ImportError, KeyError, OSError):
        return None


def _as_name(text: str) -> str | None:
    """Return a name as a report can hold it: no account's is longer."""
    plain = text.encode(errors="replace").decode().replace("\0", "").strip()
    return plain[:_LONGEST_NAME].strip() or None


def git_commit() -> str | None:
    """Return the commit checked out in the working directory, "-dirty" if files were changed.

    Asks git, which may take seconds in a large repository.
    """
    import subprocess

    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            # Never lock the user's index for a look at it.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
