"""Series: what a run's devices and hosts did over time, beside what they drew."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from carbon.schema.fields import FIRST_ERROR_ONLY, Name, Seconds, Wire, finite_in_order

SeriesName = Literal[
    "gpu_power",
    "gpu_utilization",
    "gpu_memory",
    "gpu_temperature",
    "cpu_power",
    "cpu_utilization",
    "cpu_frequency",
    "ram_power",
    "ram_used",
    "network_sent",
    "network_received",
]
Unit = Literal["W", "%", "GiB", "°C", "MHz", "MB/s"]

SERIES_NAMES: tuple[SeriesName, ...] = get_args(SeriesName)

SERIES_UNITS: dict[SeriesName, Unit] = {
    "gpu_power": "W",
    "gpu_utilization": "%",
    "gpu_memory": "GiB",
    "gpu_temperature": "°C",
    "cpu_power": "W",
    "cpu_utilization": "%",
    "cpu_frequency": "MHz",
    "ram_power": "W",
    "ram_used": "GiB",
    "network_sent": "MB/s",
    "network_received": "MB/s",
}
"""A GiB is 2^30 bytes, as memory is sold; a MB is 10^6 bytes, as networks are."""

MAX_POINTS = 2000
"""Points a series has at most, however long the run."""


def is_of_device(name: SeriesName) -> bool:
    """Tell whether a series of this name belongs to an accelerator, and not to the host."""
    return name.startswith("gpu_")


class SeriesReport(Wire):
    """One quantity of one device or host as the mean of each of many equal stretches of time.

    `values[i]` is the time-weighted mean over the seconds from `start_s + i * interval_s` to
    `start_s + (i + 1) * interval_s`, as far as they were covered by readings; None where none was.
    Quantities that are counted, bytes and joules, are rates: their mean is what flowed over time.
    """

    name: SeriesName
    unit: Unit
    device_uuid: Name | None = None
    """The accelerator; None for what belongs to the host."""
    start_s: Seconds
    """Since the run began on this node, in its first attempt."""
    interval_s: Annotated[Seconds, Field(gt=0)]
    values: Annotated[
        list[float | None],
        Field(min_length=1, max_length=MAX_POINTS),
        FIRST_ERROR_ONLY,
        AfterValidator(finite_in_order),
    ]

    @model_validator(mode="after")
    def _is_what_its_name_says(self) -> Self:
        if self.unit != SERIES_UNITS[self.name]:
            raise ValueError(f"{self.name} is in {SERIES_UNITS[self.name]}, not in {self.unit}")
        if is_of_device(self.name) != (self.device_uuid is not None):
            whose = "an accelerator" if is_of_device(self.name) else "the host"
            raise ValueError(f"{self.name} belongs to {whose}; device_uuid is {self.device_uuid!r}")
        return self

    @property
    def key(self) -> tuple[str, str]:
        """What tells the series of a node apart, and the order they stand in."""
        return self.device_uuid or "", self.name
