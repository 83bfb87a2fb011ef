"""How many requests a second are answered of one sender: a bucket of tokens for each.

Each worker has its own buckets, so that several let several times as many through.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from api.problems import ProblemError

BURST_S = 2.0
"""Who was silent for this long may send at once what would have come in that time."""

_MOST_SENDERS = 10_000

# A single subscriber commonly has as many addresses as this prefix leaves (RFC 6177).
_IPV6_PREFIX = 64


class Limits:
    """The buckets, by sender; of those that were not heard of for long, none is kept."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Let `per_s` requests a second pass, 0 for as many as there are."""
        self._per_s = per_s
        self._most = max(1.0, per_s * BURST_S)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, sender: str) -> None:
        """Count a request.

        Raises:
            ProblemError: 429, there were too many; it says when to ask again.
        """
        if not self._per_s:
            return
        now_s = self._clock()
        held, at_s = self._buckets.pop(sender, (self._most, now_s))
        held = min(self._most, held + (now_s - at_s) * self._per_s)
        is_enough = held >= 1
        self._buckets[sender] = (held - is_enough, now_s)
        if len(self._buckets) > _MOST_SENDERS:
            self._buckets.popitem(last=False)
        if not is_enough:
            wait_s = math.ceil((1 - held) / self._per_s)
            raise ProblemError(
                429,
                f"more than {self._per_s:g} requests a second; ask again in {wait_s} s, or raise "
                "CARBON_RATE_LIMIT on the server",
                headers={"Retry-After": str(wait_s)},
            )


def sender_at(address: str | None) -> str:
    """Return the name under which requests from an address are counted."""
    try:
        known = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return f"at {address}"
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        known = ipaddress.ip_network((known, _IPV6_PREFIX), strict=False).network_address
    return f"at {known}"
