"""CPU and DRAM by the processor's own energy counters (RAPL), as Linux shows them in sysfs.

Every domain is a directory `intel-rapl:N`, its parts are `intel-rapl:N:M`; AMD processors appear
under the same names (Documentation/power/powercap/powercap.rst of the kernel). Of these

- the packages added up are the CPU: cores and uncore are inside of a package;
- the DRAM domains added up are the RAM, which is outside of the packages;
- `psys` is the platform as a whole and is never added;
- `intel-rapl-mmio:N` are the same packages by another register and are not looked at.

On processors of several dies in a package (Threadripper and EPYC before Zen 3 among them) the dies
can be one counter shown several times, for which see `Domain.mirrors`.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from carbon.meters import processor
from carbon.meters.base import DeviceInfo, Reading
from carbon.meters.rapl_domain import Domain
from carbon.schema import Component

_log = logging.getLogger(__name__)

DIRECTORY = Path("/sys/class/powercap")

PACKAGE_UNCERTAINTY = 0.05
"""Of package counters: Khan et al., "RAPL in Action", ACM TOMPECS 3(2), 2018."""

DRAM_UNCERTAINTY = 0.12
"""Of DRAM counters, which on most systems are a model with an offset that differs between systems
(Desrochers et al., "A Validation of DRAM RAPL Power Measurements", MEMSYS 2016). Our judgement: off
by at most 20 %, with any error up to that as likely, which makes 0.2 / 3^0.5."""

MIN_INTERVAL_S = 0.01
"""Counters move about every millisecond: over fewer than ten steps a power means little."""

_PACKAGE = re.compile(r"package-(\d+)(?:-die-\d+)?")

_REMEDY = (
    "they are readable by root alone (CVE-2020-8694); `sudo chmod a+r {files}` opens them until "
    'the next boot, a udev rule for good (SUBSYSTEM=="powercap", ACTION=="add", '
    'RUN+="/bin/chmod a+r /sys%p/energy_uj"), and CAP_DAC_READ_SEARCH for one process'
)


class _UnavailableError(Exception):
    """There are no counters that could be read; the message says why."""


class RaplMeter:
    """The energy of all CPU packages or of all DRAM; see `carbon.meters.base.Meter`.

    `cpu_model` is the processor's name, or None where it is unknown or not a processor.
    """

    uncertainty: float
    device: DeviceInfo | None = None

    def __init__(
        self,
        component: Component,
        domains: list[Domain],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count from now on what the domains count together; raises `OSError` or `ValueError`."""
        is_cpu = component == "cpu"
        self.component = component
        self.method = "rapl" if is_cpu else "rapl_dram"
        self.uncertainty = PACKAGE_UNCERTAINTY if is_cpu else DRAM_UNCERTAINTY
        self.cpu_model = processor.kernel_cpu_model() if is_cpu else None
        self.note: str | None = None
        self._domains = domains
        self._clock = clock
        self._is_open = True
        self._opened_at_s = clock()
        self._last = Reading(self._opened_at_s, 0.0)
        for domain in domains:
            domain.open(self._opened_at_s)
        # Twice in the shortest time in which a counter can go round, so that no round is missed.
        self.poll_interval_s: float | None = min(domain.wrap_s for domain in domains) / 2

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened; see `Meter.read`.

        Within `MIN_INTERVAL_S` of the last reading that one is returned again, with its own time.
        """
        now_s = self._clock()
        if not self._is_open or now_s - self._last.at_s < MIN_INTERVAL_S:
            return self._last
        drawn_j = sum(domain.drawn_j(now_s) for domain in self._domains)
        self.note = "; ".join(d.note for d in self._domains if d.note) or None
        self._last = Reading(now_s, self._last.energy_j + drawn_j)
        return self._last

    def utilization_percent(self) -> float | None:
        """Return None: the counters know of energy alone."""
        return None

    def close(self) -> None:
        """Stop counting; reading afterwards returns the last value."""
        self._is_open = False


def open_meters(
    directory: Path = DIRECTORY, clock: Callable[[], float] = time.monotonic
) -> list[RaplMeter]:
    """Open a meter for the CPU and one for the RAM, each where it has counters that can be read.

    A component of which only some counters can be read is left out: a part of it is not its energy.
    What is left out is said by `explain`.

    Args:
        directory: where the kernel shows the domains.
    """
    return _open(directory, clock)[0]


def explain(directory: Path = DIRECTORY) -> str | None:
    """Return why CPU or RAM is not metered, or None where both are; see `open_meters`."""
    meters, problems = _open(directory, time.monotonic)
    for meter in meters:
        meter.close()
    return "; ".join(problems) or None


def _open(directory: Path, clock: Callable[[], float]) -> tuple[list[RaplMeter], list[str]]:
    try:
        found = _domains(directory)
    except _UnavailableError as reason:
        return [], [str(reason)]
    meters: list[RaplMeter] = []
    problems: list[str] = []
    names: dict[Component, str] = {"cpu": "CPU", "ram": "RAM"}
    for component, name in names.items():
        domains = found[component]
        try:
            if not domains:
                raise _UnavailableError("the processor has no counter for it")
            _check(domains)
            meters.append(RaplMeter(component, _without_mirrors(domains), clock))
        except _UnavailableError as reason:
            problems.append(f"{name} energy is not metered by RAPL: {reason}")
        except (OSError, ValueError) as error:
            problems.append(f"{name} energy is not metered by RAPL: {error}")
    return meters, problems


def _domains(directory: Path) -> dict[Component, list[Domain]]:
    found: dict[Component, list[Domain]] = {"cpu": [], "ram": []}
    try:
        folders = sorted(directory.glob("intel-rapl:*"), key=_numbers)
    except OSError:
        folders = []
    if not folders:
        raise _UnavailableError(
            f"no RAPL counters in {directory}: the processor has none, a virtual machine hides "
            "them, or the kernel module intel_rapl_msr is not loaded (`sudo modprobe "
            "intel_rapl_msr`)"
        )
    if not any((folder / "name").exists() for folder in folders):
        raise _UnavailableError(
            f"the RAPL counters in {directory} are hidden from this container; mount "
            "/sys/devices/virtual/powercap into it, read-only"
        )
    packages: dict[str, str] = {}
    for folder in folders:
        try:
            name = (folder / "name").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        parent = folder.name.rpartition(":")[0] if folder.name.count(":") > 1 else None
        package = _PACKAGE.fullmatch(name)
        if parent is None and package is not None:
            packages[folder.name] = package[1]
            found["cpu"].append(Domain(folder, name, package[1]))
        elif name == "dram":
            number = packages.get(parent or "", folder.name)
            found["ram"].append(Domain(folder, f"dram of package-{number}", number))
    return found


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in folder.name.split(":")[1:] if number.isdigit()]


def _check(domains: list[Domain]) -> None:
    try:
        for domain in domains:
            if not domain.read_uj():
                raise _UnavailableError(
                    f"{domain.counter_file} stands at 0: it does not count, as in some virtual "
                    "machines"
                )
    except PermissionError as error:
        files = " ".join(str(domain.counter_file) for domain in domains)
        raise _UnavailableError(
            f"user {os.geteuid()} may not read the counters, {_REMEDY.format(files=files)}"
        ) from error


def _without_mirrors(domains: list[Domain]) -> list[Domain]:
    """Return the domains, one for each counter."""
    kept: list[Domain] = []
    for domain in domains:
        if not any(domain.mirrors(other) for other in kept):
            kept.append(domain)
    return kept
