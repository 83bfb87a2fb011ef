"""What one run would have come to elsewhere, at another PUE, or at another hour."""

from datetime import UTC, timedelta

from api.columns import count_from, float_of
from api.prices import Tariff, cost_of
from api.problems import ProblemError
from api.sums import grid_count
from api.what_if import AS_REPORTED, Intensity, conditions, difference, of_place
from carbon import units
from carbon.analysis.hours import Profile, Stretch, stretches_of
from carbon.schema import Cost, Operation, RunReport, WhatIf, WhatIfTerms
from carbon.units import ENERGY_DECIMALS

_SENT = "the mean by energy of the intensities that were sent"


def of_run(report: RunReport, terms: WhatIfTerms, tariff: Tariff) -> WhatIf:
    """Compare a run with itself under other conditions.

    Args:
        report: the run, with its series where the terms hold a profile of intensities.
        terms: what would be different.
        tariff: the prices of its project, which stay as they are.

    Raises:
        ProblemError: 422 for a place that cannot be meant, or intensities that do not tell of the
            whole run.
    """
    own = Intensity(
        report.intensity_g_per_kwh, report.intensity_source, report.intensity_year, AS_REPORTED
    )
    emitted_kg = report.emissions_kg
    profile = _profile(report, terms)
    if profile is not None:
        own, other = _by_hour(report, terms, profile)
        emitted_kg = _emissions_kg(report, report.pue, own)
    elif terms.country is not None:
        other = of_place(terms)
    else:
        method = conditions(terms, "the run's own intensity")
        other = Intensity(own.g_per_kwh, own.source, own.year, method)
    pue = report.pue if terms.pue is None else terms.pue
    would_emit_kg = _emissions_kg(report, pue, other)
    actual = _operation(report, report.pue, own, emitted_kg, tariff)
    hypothetical = _operation(report, pue, other, would_emit_kg, tariff)
    return WhatIf(
        project=report.project,
        run_id=report.run_id,
        runs=1,
        actual=actual,
        hypothetical=hypothetical,
        difference=difference(actual, hypothetical, emitted_kg, would_emit_kg),
    )


def _profile(report: RunReport, terms: WhatIfTerms) -> Profile | None:
    if terms.hourly_g_per_kwh is not None:
        return Profile.of_a_day(terms.hourly_g_per_kwh, report.started_at.astimezone(UTC))
    if terms.intensities is not None:
        return Profile.of_moments(terms.intensities)
    return None


def _by_hour(
    report: RunReport, terms: WhatIfTerms, profile: Profile
) -> tuple[Intensity, Intensity]:
    """Return the mean intensities at the hours that the energy was drawn, and at the others."""
    stretches, how = stretches_of(report)
    was = _mean(profile, stretches, report, 0.0)
    would_be = _mean(profile, stretches, report, terms.shift_h)
    source = terms.intensity_source
    shifted = f"{_SENT}, {terms.shift_h:+g} h from when it was drawn; energy {how}"
    return (
        Intensity(was, source, None, f"energy x PUE x {_SENT}, when it was drawn; energy {how}"),
        Intensity(would_be, source, None, conditions(terms, shifted)),
    )


def _mean(profile: Profile, stretches: list[Stretch], report: RunReport, shift_h: float) -> float:
    try:
        return profile.mean(stretches, report.started_at + timedelta(hours=shift_h))
    except OverflowError as error:
        began = report.started_at.isoformat()
        field, message = "shift_h", f"{shift_h:g} h from {began} is not in the years 1 to 9999"
        cause: Exception = error
    except ValueError as error:
        field, message, cause = "intensities", str(error), error
    errors = [{"field": field, "message": message}]
    raise ProblemError(422, f"{field}: {message}", errors=errors) from cause


def _emissions_kg(report: RunReport, pue: float, intensity: Intensity) -> float | None:
    if report.energy_kwh is None or intensity.g_per_kwh is None:
        return None
    return units.emissions_kg(report.energy_kwh, pue, intensity.g_per_kwh)


def _operation(
    report: RunReport,
    pue: float,
    intensity: Intensity,
    emissions_kg: float | None,
    tariff: Tariff,
) -> Operation:
    grid_kwh: float | None = None
    costs: list[Cost] = []
    if report.energy_kwh is not None:
        count = grid_count(count_from(report.energy_kwh, ENERGY_DECIMALS), pue)
        grid_kwh = float_of(count, ENERGY_DECIMALS)
        price = tariff.on(report.started_at.astimezone(UTC).date())
        costs = cost_of([(price, 1, count)])
    return Operation(
        runs_without_energy=int(report.energy_kwh is None),
        runs_without_emissions=int(emissions_kg is None),
        energy_kwh=report.energy_kwh,
        grid_energy_kwh=grid_kwh,
        emissions_kg=emissions_kg,
        intensity_g_per_kwh=intensity.g_per_kwh,
        intensity_source=intensity.source,
        intensity_year=intensity.year,
        costs=costs,
        method=intensity.method,
    )
