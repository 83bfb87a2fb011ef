"""Who may use the API: everyone where no key is set, else who sends it."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.problems import ProblemError

_bearer = HTTPBearer(auto_error=False, description="The server's CARBON_API_KEY.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def require_key(key: str) -> Callable[..., Awaitable[None]]:
    """Return a dependency that lets only requests with this key pass.

    The dependency raises a 401 `ProblemError`, saying whether the key is missing or wrong.
    """
    expected = key.encode()

    async def check(credentials: _Credentials) -> None:
        if credentials is None:
            raise _unauthorized("this API needs a key: send `Authorization: Bearer KEY`")
        # Header values arrive decoded as Latin-1, which gives every byte back.
        given = credentials.credentials.encode("latin-1")
        if not hmac.compare_digest(given, expected):
            raise _unauthorized("this is not the API's key; see CARBON_API_KEY on the server")

    return check


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})
