"""The wire models: what a tracker sends, what the API stores and what the dashboard reads.

This is the only place where a field of a report or of a summary is named; the tables inherit it.
Energies are IT energy, before PUE; `emissions_kg` is energy x PUE x intensity. `None` means "not
measured" or "unknown", never zero. A field this version does not know is refused, so that a report
of a newer schema is told so instead of being cut.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carbon.schema.fields import (
    MAX_BATCH,
    MAX_METRICS,
    SCHEMA_VERSION,
    Component,
    ConfigValue,
    Count,
    CountryCode,
    EnergyKwh,
    Fraction,
    Index,
    Intensity,
    MassKg,
    Metrics,
    MetricValue,
    Name,
    Percent,
    Pue,
    Reason,
    RunId,
    Seconds,
    Status,
    Strategy,
    Text,
    Utc,
    Wire,
    Year,
)
from carbon.schema.report import (
    ComponentEnergy,
    DeviceReport,
    EpochReport,
    NodeReport,
    Place,
    RunFields,
    RunReport,
    RunSpec,
)
from carbon.schema.series import (
    MAX_POINTS,
    SERIES_NAMES,
    SERIES_UNITS,
    SeriesName,
    SeriesReport,
    is_of_device,
)

if TYPE_CHECKING:
    from carbon.schema.accounting import (
        AuditEntry,
        AuditPage,
        Change,
        Correction,
        Costing,
        Factor,
        FactorKind,
        FactorTable,
        FactorTableInfo,
        Recosted,
        RecostOrder,
    )
    from carbon.schema.answers import (
        Accepted,
        BatchAnswer,
        BatchResult,
        Equivalent,
        GridFactor,
        Health,
        PlaceTotals,
        Problem,
        ProjectPage,
        ProjectTotals,
        RunPage,
        StudyPage,
        StudyTotals,
        Summary,
        Totals,
        Tradeoff,
        TradeoffPoint,
    )

__all__ = [
    "MAX_BATCH",
    "MAX_METRICS",
    "MAX_POINTS",
    "SCHEMA_VERSION",
    "SERIES_NAMES",
    "SERIES_UNITS",
    "Accepted",
    "AuditEntry",
    "AuditPage",
    "BatchAnswer",
    "BatchResult",
    "Change",
    "Component",
    "ComponentEnergy",
    "ConfigValue",
    "Correction",
    "Costing",
    "Count",
    "CountryCode",
    "DeviceReport",
    "EnergyKwh",
    "EpochReport",
    "Equivalent",
    "Factor",
    "FactorKind",
    "FactorTable",
    "FactorTableInfo",
    "Fraction",
    "GridFactor",
    "Health",
    "Index",
    "Intensity",
    "MassKg",
    "MetricValue",
    "Metrics",
    "Name",
    "NodeReport",
    "Percent",
    "Place",
    "PlaceTotals",
    "Problem",
    "ProjectPage",
    "ProjectTotals",
    "Pue",
    "Reason",
    "RecostOrder",
    "Recosted",
    "RunFields",
    "RunId",
    "RunPage",
    "RunReport",
    "RunSpec",
    "Seconds",
    "SeriesName",
    "SeriesReport",
    "Status",
    "Strategy",
    "StudyPage",
    "StudyTotals",
    "Summary",
    "Text",
    "Totals",
    "Tradeoff",
    "TradeoffPoint",
    "Utc",
    "Wire",
    "Year",
    "is_of_device",
]


def __getattr__(name: str) -> Any:
    """Load what is read back when it is first asked for: a training never asks."""
    if name not in __all__:
        raise AttributeError(f"module 'carbon.schema' has no attribute {name!r}")
    modules = (import_module(f"carbon.schema.{module}") for module in ("answers", "accounting"))
    value = next(getattr(module, name) for module in modules if hasattr(module, name))
    globals()[name] = value
    return value
