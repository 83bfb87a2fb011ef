"""A run by the nodes and by the models of accelerators that it ran on: what was drawn by each.

All that a run drew was drawn by its only node, and by accelerators of its only model, if it has one
of them. Among several it is as the run's report says of each; a correction of the run's energy is
not divided among them. Emissions are energy x PUE x intensity, both the run's.

A run counts once for each node and each model, and so does its duration.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from api.quick_reading import fields_of
from api.sums import Drawn
from api.tables import GPU_DAYS, NODE_DAYS
from carbon import units

Fields = Mapping[str, Any]

NEEDED = (
    *Drawn._fields,
    *("nodes", "gpu_energy_uncertainty"),
    *("pue", "intensity_g_per_kwh", "market_intensity_g_per_kwh"),
)
"""The columns of a run that are read here."""

LONGEST_MODEL = 200
"""Of a model's name so many characters tell it from others: more fit no key of PostgreSQL's."""

_COMPONENTS = ("gpu_energy_kwh", "cpu_energy_kwh", "ram_energy_kwh")
_components_of = itemgetter(*_COMPONENTS)


def by_node(run: Fields) -> dict[str, Drawn]:
    """Return what each host drew, by its name; all of a run that names none, under no name."""
    by_name: dict[str, list[Any]] = {}
    for node in run["nodes"]:
        by_name.setdefault(_part_of(node, "hostname"), []).append(node)
    if len(by_name) < 2:
        return {next(iter(by_name), ""): Drawn.by(run)}
    return {
        name: _of_host(run, [*map(_as_mapping, attempts)]) for name, attempts in by_name.items()
    }


def by_gpu_model(run: Fields) -> dict[str, Drawn]:
    """Return what the accelerators of each model drew, by its name; those without one under none.

    The energy of accelerators of which nothing else is told is under no name too.
    """
    devices = [device for node in run["nodes"] for device in _part_of(node, "devices")]
    named = [_part_of(device, "name") for device in devices]
    models = {name: _model(name) for name in set(named)}
    names = set(models.values())
    if not names and run["gpu_energy_kwh"] is None:
        return {}
    if len(names) < 2:
        drawn = _of_accelerators(run, run["gpu_energy_kwh"], run["gpu_energy_uncertainty"])
        return {next(iter(names), ""): drawn}
    by_name: dict[str, list[Fields]] = {name: [] for name in names}
    for device, name in zip(devices, named, strict=True):
        by_name[models[name]].append(_as_mapping(device))
    return {name: _of_accelerators(run, *_energy(parts)) for name, parts in by_name.items()}


PARTS: dict[str, Callable[[Fields], dict[str, Drawn]]] = {
    NODE_DAYS.name: by_node,
    GPU_DAYS.name: by_gpu_model,
}
"""The tables in which a run counts by its parts, each with what takes it apart."""


def _as_mapping(part: Any) -> Fields:
    """Return the fields of a node or a device, which are a mapping in a row and not in a report."""
    return part if isinstance(part, dict) else fields_of(part)


def _part_of(whole: Any, name: str) -> Any:
    return whole[name] if isinstance(whole, dict) else getattr(whole, name)


def _model(name: str | None) -> str:
    return name.strip()[:LONGEST_MODEL] if name else ""


def _of_host(run: Fields, attempts: Sequence[Fields]) -> Drawn:
    energy_kwh, uncertainty = _energy(attempts)
    columns = zip(*map(_components_of, attempts), strict=True)
    components_kwh = [units.add_known(list(column)) for column in columns]
    # A row that an early version wrote has no idle energy.
    idle = [each.get("idle_energy_kwh") for each in attempts if each["energy_kwh"] is not None]
    idle_kwh = None if None in idle else units.add_known(idle)
    emissions_kg = _emissions(run, energy_kwh)
    return Drawn._make((energy_kwh, *components_kwh, idle_kwh, *emissions_kg, uncertainty))


def _of_accelerators(run: Fields, energy_kwh: float | None, uncertainty: float | None) -> Drawn:
    emissions_kg = _emissions(run, energy_kwh)
    return Drawn(energy_kwh, energy_kwh, None, None, None, *emissions_kg, uncertainty)


def _emissions(run: Fields, energy_kwh: float | None) -> tuple[float | None, float | None]:
    """Return what the energy emitted, by location and by market, as far as the run knows its own.

    Both in kg of CO2-equivalent.
    """
    own = run["emissions_kg"], run["market_emissions_kg"]
    if energy_kwh == run["energy_kwh"]:
        return own
    intensities = run["intensity_g_per_kwh"], run["market_intensity_g_per_kwh"]
    by_location, by_market = (
        None if of_run is None else units.known_emissions_kg(energy_kwh, run["pue"], intensity)
        for of_run, intensity in zip(own, intensities, strict=True)
    )
    return by_location, by_market


def _energy(parts: Sequence[Fields]) -> tuple[float | None, float | None]:
    """Return the energy that is known in kWh, and its relative uncertainty.

    That is the energy-weighted mean of the parts' own, which is never too small; None if a part's
    is unknown.
    """
    known = [
        (part["energy_kwh"], part["energy_uncertainty"])
        for part in parts
        if part["energy_kwh"] is not None
    ]
    total_kwh = units.add_known([energy_kwh for energy_kwh, _ in known])
    if not total_kwh or any(uncertainty is None for _, uncertainty in known):
        return total_kwh, None
    return total_kwh, sum(energy_kwh * uncertainty for energy_kwh, uncertainty in known) / total_kwh
