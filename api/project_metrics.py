"""What the projects in the ledger add up to, for Prometheus.

In kWh and kg, as everywhere in the ledger and not in Prometheus' joules and grams: a figure on a
graph is then the figure of the dashboard. Gauges, not counters: a run that is corrected may lower
them. A project without any known energy has no such line, and one with some says of how many runs
it is unknown.
"""

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api import summaries
from api.access import UNLIMITED
from api.problems import ProblemError
from carbon.schema import SCHEMA_VERSION, ProjectTotals

_FAMILIES: tuple[tuple[str, str, Callable[[ProjectTotals], float | None]], ...] = (
    ("carbon_project_runs", "Runs of the project.", lambda totals: totals.runs),
    (
        "carbon_project_runs_without_energy",
        "Runs of the project whose energy is unknown.",
        lambda totals: totals.runs_without_energy,
    ),
    (
        "carbon_project_runs_without_emissions",
        "Runs of the project whose emissions are unknown.",
        lambda totals: totals.runs_without_emissions,
    ),
    (
        "carbon_project_duration_seconds",
        "Duration of the project's runs.",
        lambda totals: totals.duration_s,
    ),
    (
        "carbon_project_energy_kwh",
        "Energy of the project's runs, in kWh, as far as it is known.",
        lambda totals: totals.energy_kwh,
    ),
    (
        "carbon_project_emissions_kg",
        "Emissions of the project's runs, in kg of CO2 equivalent, as far as they are known.",
        lambda totals: totals.emissions_kg,
    ),
)


class ProjectCollector(Collector):
    """Reads the summaries when it is asked; where the database does not answer it says so."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Give the build, whether the database answers, and every project's totals."""
        yield _build_info()
        listed: list[ProjectTotals] | None
        try:
            with self._engine.begin() as connection:
                listed = summaries.projects(connection, UNLIMITED)
        except (SQLAlchemyError, ProblemError):
            # The service's own counts matter most just then.
            listed = None
        yield GaugeMetricFamily(
            "carbon_database_up",
            "Whether the database answered when this page was made.",
            value=listed is not None,
        )
        for name, documentation, value_of in _FAMILIES:
            family = GaugeMetricFamily(name, documentation, labels=["project"])
            for totals in listed or []:
                value = value_of(totals)
                if value is not None:
                    family.add_metric([totals.project], value)
            yield family


def _build_info() -> Metric:
    family = GaugeMetricFamily(
        "carbon_build_info",
        "What serves, as labels.",
        labels=["version", "schema_version", "python"],
    )
    family.add_metric([version("carbon-ledger"), str(SCHEMA_VERSION), platform.python_version()], 1)
    return family
