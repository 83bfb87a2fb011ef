"""What the server logs, for a person or for a machine, and what never gets into it."""

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.types import Scope

from api import keys, request_id
from api.database_urls import secrets_in
from carbon.settings import Settings

_OURS = ("api", "carbon", "uvicorn")
"""The loggers that CARBON_LOG_LEVEL is for. Others' chatter is theirs: only warnings of it."""

_requests = logging.getLogger("api.requests")

# A shorter one would also be found in words that mean something else.
_SHORTEST_SECRET = 6
_MASK = "***"


def configure(settings: Settings) -> None:
    """Log to stderr as the settings say; for an entry point."""
    is_json = settings.log_format == "json"
    secrets = [*secrets_in(settings.database_url), settings.api_key_text or ""]
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(secrets) if is_json else TextLines(secrets))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    level = settings.log_level or ("info" if is_json else "warning")
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def log_request(scope: Scope, route: str, status: int | None, duration_s: float) -> None:
    """Log one line for a request that was answered.

    Neither headers nor the query are in it: keys stand in the one, and may by mistake in the other.

    Args:
        scope: the request.
        route: the template of its path.
        status: of the answer, None where none could be sent.
        duration_s: until the last byte of the answer.
    """
    if not _requests.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "route": route,
        "status": status,
        "duration_ms": round(duration_s * 1000, 3),
        "client": client[0] if client else None,
    }
    _requests.info(
        "%s %s %s in %.1f ms, from %s",
        scope["method"],
        quote(scope["path"]),  # A line break in it would look like another line.
        status,
        duration_s * 1000,
        fields["client"],
        extra={"fields": fields},
    )


class _Masked(logging.Formatter):
    """Lines without secrets, whatever an error or a library says in them."""

    def __init__(self, secrets: Iterable[str], line: str | None = None) -> None:
        super().__init__(line)
        # The longest first: a secret may be part of another.
        known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self._secrets = sorted(known, key=len, reverse=True)

    def masked(self, text: str) -> str:
        """Return the text with a mask in place of every secret, and of every API key's."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return keys.masked(text)


class TextLines(_Masked):
    """A line for a person, with the request's id at its end."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(secrets, "%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # logging's name
        """Return the line, before any traceback."""
        line = super().formatMessage(record)
        this_request = request_id.current()
        return f"{line} [request {this_request}]" if this_request else line

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        return self.masked(super().format(record))


class JsonLines(_Masked):
    """A JSON object in one line: `time`, `level`, `logger`, `message`, and what else is known."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.masked(record.getMessage()),
        }
        this_request = request_id.current()
        if this_request:
            line["request_id"] = this_request
        for name, value in getattr(record, "fields", {}).items():
            line[name] = self.masked(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = self.masked(self.formatException(record.exc_info))
        return json.dumps(line, default=str)
