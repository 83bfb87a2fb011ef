"""AMD GPUs, through amdsmi: the only module that imports `amdsmi`, which is optional.

amdsmi does not count its initialisations, and PyTorch uses it too: it is never shut down here. It
does not survive `fork`: a meter belongs to the process that opened it.
"""

import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from carbon.attribution.visible_devices_rocm import hides, visible_gpus
from carbon.meters.amd_gpus import Gpu, cards, errors, in_runtime_order, list_gpus, meaning
from carbon.meters.amd_sources import open_source
from carbon.meters.base import DeviceInfo, Reading
from carbon.meters.muted import muted
from carbon.schema import Component

_log = logging.getLogger(__name__)

DRIVER = Path("/sys/module/amdgpu")


class _UnavailableError(Exception):
    """No GPU can be metered; the message says why."""


class AmdMeter:
    """The energy of one card; see `carbon.meters.base.Meter`.

    Reads the energy counter of its first GPU where it has one and integrates its power where not.
    Raises what `carbon.meters.amd_gpus.errors` names when opened on a card that shows neither;
    afterwards it raises nothing.
    """

    component: Component = "gpu"

    def __init__(
        self, smi: Any, card: Sequence[Gpu], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.device: DeviceInfo | None = card[0].device
        self._smi = smi
        self._errors = errors(smi)
        self._card = card
        self._clock = clock
        self._is_open = True
        self._card_note = _card_note(card)
        self._failure: str | None = None
        self._opened_at_s = clock()
        self._last = Reading(self._opened_at_s, 0.0)
        self._source = open_source(smi, card[0].handle, self._opened_at_s, self._errors)
        self.note: str | None = self._card_note
        self.method = self._source.method
        self.uncertainty = self._source.uncertainty
        self.poll_interval_s = self._source.poll_interval_s

    def read(self) -> Reading:
        """Return the energy drawn since the meter was opened; see `Meter.read`.

        A source that is asked again too soon to know more gives no new reading: the last one is
        returned, with the time at which it was taken.
        """
        now_s = self._clock()
        if not self._is_open or now_s - self._last.at_s < self._source.min_interval_s:
            return self._last
        energy_j = self._last.energy_j
        try:
            energy_j += max(self._source.drawn_j(now_s), 0.0)
            self._failure = None
        except self._errors as error:
            if self._failure is None:
                after_s = now_s - self._opened_at_s
                self._failure = f"no reading after {after_s:.1f} s: {meaning(error)}"
        notes = (self._card_note, self._failure, self._source.note)
        self.note = "; ".join(note for note in notes if note) or None
        self._last = Reading(now_s, energy_j)
        return self._last

    def utilization_percent(self) -> float | None:
        """Return the mean activity of the card's graphics engines, in percent."""
        if not self._is_open:
            return None
        known = []
        for gpu in self._card:
            try:
                activity = self._smi.amdsmi_get_gpu_activity(gpu.handle)["gfx_activity"]
            except self._errors:
                continue
            if isinstance(activity, int | float) and 0 <= activity <= 100:
                known.append(float(activity))
        return sum(known) / len(known) if known else None

    def close(self) -> None:
        """Stop counting; reading afterwards returns the last value."""
        self._is_open = False


def open_meters(
    environ: Mapping[str, str],
    smi: Any = None,
    clock: Callable[[], float] = time.monotonic,
    driver: Path = DRIVER,
) -> list[AmdMeter]:
    """Open a meter for every card with a GPU that a process with these variables may use.

    Where there is none, the list is empty and `explain` tells why. A GPU that should be metered and
    cannot be is left out with a warning in the log.

    Args:
        environ: the process's environment variables, for those that hide GPUs.
        smi: an object with the functions of `amdsmi`, by default that package.
        driver: where Linux shows the driver, without which there is nothing to ask.
    """
    try:
        meters, problems = _open(environ, smi or _amdsmi(driver), clock)
    except _UnavailableError as reason:
        _log.debug("no AMD GPU is metered: %s", reason)
        return []
    for problem in problems:
        _log.warning("%s", problem)
    return meters


def explain(environ: Mapping[str, str], smi: Any = None, driver: Path = DRIVER) -> str | None:
    """Return why not every AMD GPU is metered, or None where each is; see `open_meters`."""
    try:
        meters, problems = _open(environ, smi or _amdsmi(driver), time.monotonic)
    except _UnavailableError as reason:
        return str(reason)
    for meter in meters:
        meter.close()
    return "; ".join(problems) or None


def _amdsmi(driver: Path) -> Any:
    if not driver.exists():
        raise _UnavailableError("no AMD GPU driver (amdgpu) is loaded on this machine")
    if importlib.util.find_spec("amdsmi") is None:
        raise _UnavailableError(
            "the Python package amdsmi is not installed; `pip install amdsmi`, in the version of "
            "the machine's ROCm"
        )
    try:
        with muted():
            import amdsmi
    except Exception as error:  # It fails in many ways, a bare KeyError among them.
        raise _UnavailableError(
            "amdsmi cannot be loaded: libamd_smi.so of ROCm is missing (package amd-smi-lib, or "
            f"ROCM_PATH is not set) or of another version than the Python package ({error!r})"
        ) from error
    return amdsmi


def _open(
    environ: Mapping[str, str], smi: Any, clock: Callable[[], float]
) -> tuple[list[AmdMeter], list[str]]:
    """Return the meters, and a sentence for every GPU that should have one and has not."""
    try:
        smi.amdsmi_init()
        gpus, problems = list_gpus(smi)
    except errors(smi) as error:
        raise _UnavailableError(meaning(error)) from error
    if not gpus and not problems:
        raise _UnavailableError("amdsmi finds no AMD GPU on this machine")
    ordered = in_runtime_order(gpus)
    visible = [ordered[i] for i in visible_gpus(environ, [gpu.rocm_uuid for gpu in ordered])]
    if gpus and not visible:
        raise _UnavailableError(f"{hides(environ)} hides all {len(gpus)} AMD GPUs of this machine")
    meters = []
    for card in cards(gpus, lambda gpu: _shows(smi, gpu)):
        if not any(gpu in visible for gpu in card):
            continue
        try:
            meters.append(_open_card(smi, card, clock))
        except _UnavailableError as reason:
            problems.append(str(reason))
    return meters, problems


def _open_card(smi: Any, card: Sequence[Gpu], clock: Callable[[], float]) -> AmdMeter:
    device = card[0].device
    label = f"GPU {device.index} ({device.name}) is not metered"
    try:
        meter = AmdMeter(smi, card, clock)
    except errors(smi) as error:
        raise _UnavailableError(f"{label}: {meaning(error)}") from error
    if meter.method == "amdsmi_power" and device.name.endswith("Graphics"):
        # So are all integrated GPUs named; none has a counter.
        raise _UnavailableError(f"{label}: it shows the power of the processor it is a part of")
    return meter


def _shows(smi: Any, gpu: Gpu) -> bool:
    try:
        open_source(smi, gpu.handle, 0.0, errors(smi))
    except errors(smi):
        return False
    return True


def _card_note(card: Sequence[Gpu]) -> str | None:
    if len(card) == 1:
        return None
    indices = ", ".join(str(gpu.device.index) for gpu in card)
    return f"GPUs {indices} are one card and have one meter"
