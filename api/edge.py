"""The outermost edge of the app: every request gets an id, every answer its headers, every error
is a problem document, and what happened is logged and counted once.
"""

import logging
from time import perf_counter
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import request_id
from api.logs import log_request
from api.metrics import Metrics
from api.problems import ProblemError
from api.route_table import RouteTable

logger = logging.getLogger("api")

# Nothing of the API is a page, but for the documentation, which says what it needs by itself.
_CONTENT_SECURITY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

# No Strict-Transport-Security: that is for whoever ends TLS in front of this server.
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Edge:
    """Wraps the app: the headers of every answer, what nobody foresaw as a 500, logs and counts."""

    def __init__(self, app: ASGIApp, routes: RouteTable, metrics: Metrics) -> None:
        self._app = app
        self._routes = routes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        this_request = request_id.begin(Headers(scope=scope).get(request_id.HEADER))
        status: int | None = None
        began_s = perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[request_id.HEADER] = this_request
                _complete(headers, scope["path"], message["status"])
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("%s %s failed", scope["method"], quote(scope["path"]))
            if status is not None:
                raise
            problem = ProblemError(500, "the server failed on this request; its log says why")
            await problem.response()(scope, receive, send_with_headers)
        finally:
            duration_s = perf_counter() - began_s
            route = self._routes.template(scope)
            self._metrics.in_flight.dec()
            self._metrics.answered(scope["method"], route, status, duration_s)
            log_request(scope, route, status, duration_s)


def _complete(headers: MutableHeaders, path: str, status: int) -> None:
    """Add what every answer has, and what the route did not say by itself."""
    headers.update(_ALWAYS)
    headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY)
    # What is read may be kept by the reader's own client if it asks again whether it still holds.
    is_read = path.startswith("/v1/") and status < 400
    headers.setdefault("Cache-Control", "private, no-cache" if is_read else "no-store")
