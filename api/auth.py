"""Who may use the API: everyone where there are no keys, else who sends one."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api import keys
from api.access import UNLIMITED, Access, Scope
from api.held_keys import Held, HeldKeys
from api.keys import Key
from api.limits import Limits, sender_at
from api.problems import ProblemError

_bearer = HTTPBearer(
    auto_error=False, description="A key of `carbon keys create`, or the server's CARBON_API_KEY."
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]

_OWN = Access(scopes=frozenset({"ingest"}), sender="the server itself")
_OF_THE_SERVER = Access(sender="the server's key")


@dataclass(frozen=True)
class Doors:
    """Where a server stands, and so whom it lets in without a key.

    Attributes:
        bound_host: the loopback name or address that it is served on: without keys only requests
            that name this machine are answered. None where any name may lead here.
        faces_others: whether other machines reach it: then a key is needed, whether there is one
            or not.
        allows_anyone: all the same, whoever comes is let in as long as there are no keys.
        own_key: with which the server delivers what waits on its own machine.
    """

    bound_host: str | None = None
    faces_others: bool = False
    allows_anyone: bool = False
    own_key: str | None = None


class Gate:
    """Decides what each request may do."""

    def __init__(self, server_key: str | None, held: HeldKeys, limits: Limits, doors: Doors):
        """Take the all-powerful key if there is one, the ledger's, and how many may come."""
        self._server_key = server_key
        self._held = held
        self._limits = limits
        self._doors = doors

    async def needs_keys(self) -> bool:
        """Tell whether requests need a key."""
        return self._needs_keys(await self._held.current())

    async def admit(self, given: str | None, address: str | None) -> Access:
        """Return what a request with this key, if any, from this address may do.

        Raises:
            ProblemError: 401, saying whether a key is missing, wrong, revoked or expired; 429, too
                many requests with this key, or of this address with none.
        """
        held = await self._held.current()
        if not self._needs_keys(held):
            if self._doors.faces_others:
                self._limits.take(sender_at(address))
            return UNLIMITED
        for known, access in ((self._server_key, _OF_THE_SERVER), (self._doors.own_key, _OWN)):
            if known is not None and given is not None and _is_same(given, known):
                self._limits.take("with the server's key")
                return access
        try:
            key = _accepted(given, held)
        except ProblemError:
            self._limits.take(sender_at(address))
            raise
        self._limits.take(f"with {key.id}")
        self._held.used(key)
        return key.access()

    def _needs_keys(self, held: Held) -> bool:
        is_always_asked = self._doors.faces_others and not self._doors.allows_anyone
        return is_always_asked or self._server_key is not None or held.are_asked_for


def _accepted(given: str | None, held: Held) -> Key:
    if given is None:
        raise _unauthorized("this API needs a key: send `Authorization: Bearer KEY`")
    key = held.by_id.get(keys.id_in(given) or "")
    if key is None or not key.is_of(given):
        raise _unauthorized(
            "this is not a key of this API; see `carbon keys list` and CARBON_API_KEY on the server"
        )
    way_out = "; ask for another one, made by `carbon keys create`"
    if key.revoked_at is not None:
        raise _unauthorized(f"key {key.id} was revoked at {key.revoked_at.isoformat()}{way_out}")
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise _unauthorized(f"key {key.id} expired at {key.expires_at.isoformat()}{way_out}")
    return key


def _is_same(given: str, known: str) -> bool:
    # Header values arrive decoded as Latin-1, which gives every byte back.
    return hmac.compare_digest(given.encode("latin-1"), known.encode())


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


async def _access_of(request: Request, credentials: _Credentials) -> Access:
    gate: Gate = request.app.state.gate
    given = None if credentials is None else credentials.credentials
    return await gate.admit(given, request.client.host if request.client else None)


GUARD = Depends(_access_of)
"""For a router: no request passes without a key where one is needed."""


async def _actor_of(request: Request, access: Annotated[Access, GUARD]) -> str:
    host = request.client.host if request.client else "unknown"
    return access.sender or f"anonymous ({host})"


Actor = Annotated[str, Depends(_actor_of)]
"""Who sent the request, as the audit log names them."""


def _with(scope: Scope) -> Callable[[Access], Awaitable[Access]]:
    async def check(access: Annotated[Access, GUARD]) -> Access:
        if not access.may(scope):
            raise ProblemError(
                403,
                f"this key lacks the scope {scope!r}, it has "
                f"{', '.join(sorted(access.scopes))}; use one made with --scope {scope}",
            )
        return access

    return check


Ingesting = Annotated[Access, Depends(_with("ingest"))]
"""What a request may do that delivers reports."""

Reading = Annotated[Access, Depends(_with("read"))]
"""What a request may do that reads."""

Administering = Annotated[Access, Depends(_with("admin"))]
"""What a request may do that deletes or corrects."""


async def _of_every_project(access: Administering) -> Access:
    access.require_all_projects("what holds for every project is")
    return access


AdministeringAll = Annotated[Access, Depends(_of_every_project)]
"""What a request may do that sets what holds for every project."""
