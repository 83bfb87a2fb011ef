"""The rules of the house that no single file can keep by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("carbon", "api", "ui", "trainers")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Who may import whom: the three sides meet in `carbon` only.
FORBIDDEN = {
    "carbon": {"api", "ui", "trainers"},
    "api": {"ui", "trainers"},
    "ui": {"api", "trainers"},
    "trainers": {"api", "ui"},
}

# Within `carbon`, a package imports those before it.
IN_ORDER = (
    *("schema", "analysis", "spool", "attribution", "meters", "rest", "delivery", "tracking"),
    *("study", "tuning", "report", "commands"),
)

# Each vendor is met in one module.
HOMES = {
    "pynvml": "carbon/meters/nvml.py",
    "codecarbon": "carbon/meters/codecarbon.py",
    "amdsmi": "carbon/meters/amd.py",
}


def imports(path: Path) -> Iterator[str]:
    """The modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & FORBIDDEN[package]


@pytest.mark.parametrize("package", IN_ORDER)
def test_packages_of_carbon_import_those_before_them(package: str) -> None:
    later = {f"carbon.{name}" for name in IN_ORDER[IN_ORDER.index(package) + 1 :]}
    for path in (ROOT / "carbon" / package).rglob("*.py"):
        assert not {".".join(name.split(".")[:2]) for name in imports(path)} & later, path


@pytest.mark.parametrize("vendor", HOMES)
def test_each_vendor_is_met_in_one_module(vendor: str) -> None:
    where = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(name.split(".")[0] == vendor for name in imports(path))
    }
    assert where == {HOMES[vendor]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_and_says_what_it_holds(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module begins by saying what it holds"
    assert text.count("\n") <= 450
    assert path.stem not in {"utils", "helpers", "common", "manager", "misc"}


def test_every_package_is_shipped() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    assert {name.split(".")[1] for name in listed if name.startswith("carbon.")} == set(IN_ORDER)
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES}
    assert listed == found
