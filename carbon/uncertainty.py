"""How uncertainties of energies combine."""

from collections.abc import Iterable


def of_sum(terms: Iterable[tuple[float, float]]) -> float | None:
    """Return the relative uncertainty of a sum of energies.

    Args:
        terms: pairs of an energy and its relative standard uncertainty.

    The errors that count here, a sensor's gain and a power model's bias, push every value of a
    meter the same way, so absolute uncertainties are added linearly (GUM, JCGM 100:2008, 5.2.2,
    note 1: correlation of +1). The result does not shrink with more terms.
    """
    pairs = [(energy, uncertainty) for energy, uncertainty in terms]
    total = sum(energy for energy, _ in pairs)
    if not pairs:
        return None
    if total <= 0:
        return max(uncertainty for _, uncertainty in pairs)
    return sum(energy * uncertainty for energy, uncertainty in pairs) / total
