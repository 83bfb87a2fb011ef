"""What other runs take of one meter's energy, kept in few numbers however long the run."""

from collections.abc import Sequence
from dataclasses import replace

from carbon.attribution.sharing import Share
from carbon.tracking.curve import Curve


class Division:
    """What is given away of the energy that `curve` tells, from `since_s` on.

    Moments are of the monotonic clock. Shares do not overlap, and are in order.
    """

    def __init__(self, curve: Curve, since_s: float) -> None:
        self._curve = curve
        self._since_s = since_s
        self._shares: list[Share] = []
        self._past_j = 0.0  # What was given away before the first of them.
        self._past_idle_s = 0.0

    def share(self, from_s: float, shares: Sequence[Share]) -> None:
        """Replace what was said of the time from `from_s` on."""
        kept = (share for share in self._shares if share.from_s < from_s)
        self._shares = [replace(share, until_s=min(share.until_s, from_s)) for share in kept]
        self._shares.extend(shares)

    def given_j(self, until_s: float) -> float:
        """Return the joules given away until then."""
        given_j = self._past_j
        for share in self._shares:
            start_j = self._curve.at(max(share.from_s, self._since_s))
            end_j = self._curve.at(min(share.until_s, until_s))
            if start_j is not None and end_j is not None and end_j > start_j:
                given_j += (1 - share.fraction) * (end_j - start_j)
        return given_j

    def given_idle_s(self, until_s: float) -> float:
        """Return for how long, in all, the idle device was the others': half the time of two."""
        given_s = self._past_idle_s
        for share in self._shares:
            together_s = min(share.until_s, until_s) - max(share.from_s, self._since_s)
            given_s += (1 - 1 / share.runs) * max(together_s, 0.0)
        return given_s

    def forget_before(self, t_s: float) -> float:
        """Add up what was given away before a moment; return from when on the curve is needed."""
        past = [share for share in self._shares if share.until_s <= t_s]
        if past:
            until_s = past[-1].until_s
            self._past_j, self._past_idle_s = self.given_j(until_s), self.given_idle_s(until_s)
            self._shares = self._shares[len(past) :]
        return min([t_s, *(share.from_s for share in self._shares[:1])])
