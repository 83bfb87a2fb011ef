"""How uncertainties of energies combine: an error belongs to its source.

What counts here is systematic: a sensor's gain, a power model's bias. Such an error pushes every
value of its source the same way, however often it is asked, so within a source errors add up
linearly (GUM, JCGM 100:2008, 5.2.2, note 1: correlation of +1). The errors of different sources
have nothing to do with each other and add up in quadrature (the same, equation 10).

Runs of a project share their boards and their models, and the ledger keeps no error by source: over
several runs everything is added linearly, so that no band shrinks with the number of runs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from carbon.schema import Component

_HOSTS_OWN = ("rapl", "ina3221", "tegrastats")
"""What the methods that read a host's own sensors have in their names; the rest are models."""


UNSEEN_UNCERTAINTY = 1 / math.sqrt(3)
"""Of what was drawn before a meter was read first, which is taken to be as much as just after:
anything from nothing to twice that, all as likely (GUM, 4.3.7)."""


@dataclass(frozen=True)
class Term:
    """An energy in any unit, its relative standard uncertainty, and whose error that is."""

    source: str
    energy: float
    uncertainty: float


def source_of(component: Component, method: str, hostname: str, uuid: str | None) -> str:
    """Return whose error a meter has.

    An accelerator's is its board's: the gain differs from board to board (arXiv 2312.02741) and
    stays the same for one of them, in whatever attempt it is read. The sensors of a host are that
    host's. A model is wrong in the same way wherever it is used, so its error is the method's.

    Args:
        component: what the meter measures.
        method: how it does so.
        hostname: the node it is on.
        uuid: the accelerator's, None for a host's CPU and RAM.
    """
    if uuid is not None:
        return f"board {uuid}"
    if any(sensor in method for sensor in _HOSTS_OWN):
        return f"sensors of {hostname}"
    return f"{component} by {method}"


def of_sum(terms: Iterable[Term]) -> float | None:
    """Return the relative uncertainty of a sum of energies, or None of no energies at all.

    A sum of zero has the largest uncertainty of its terms.
    """
    listed = list(terms)
    if not listed:
        return None
    total = sum(term.energy for term in listed)
    if total <= 0:
        return max(term.uncertainty for term in listed)
    by_source: dict[str, float] = {}
    for term in listed:
        error = by_source.get(term.source, 0.0)
        by_source[term.source] = error + term.energy * term.uncertainty
    return math.hypot(*by_source.values()) / total
