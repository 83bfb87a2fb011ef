"""What a report costs before anything is done with it: a FastAPI route that validates its body.

Beside it one with a body of plain fields, by whose rate machines can be compared.
`python -m benchmarks.ledger.empty` serves them as `carbon serve` serves the ledger.
"""

import socket
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel, create_model

from api.server import Server
from carbon.schema import Accepted, RunReport

SAYS = "empty route on "

PLAIN_PATH = "/plain"
PLAIN_FIELDS = 30
_KINDS: tuple[type[Any], ...] = (str, int, float)

Plain: type[BaseModel] = create_model(
    "Plain",
    **{f"field_{number}": (_KINDS[number % 3], ...) for number in range(PLAIN_FIELDS)},  # type: ignore[call-overload]
)

PLAIN_BODY = (
    Plain.model_validate(
        {f"field_{number}": _KINDS[number % 3](number) for number in range(PLAIN_FIELDS)}
    )
    .model_dump_json()
    .encode()
)


def create_app() -> FastAPI:
    """Return an app with nothing but the routes."""
    app = FastAPI()

    @app.put("/v1/runs/{run_id}")
    async def put_run(run_id: UUID, report: RunReport) -> Accepted:
        return Accepted(run_id=run_id, seq=report.seq)

    @app.post(PLAIN_PATH)
    async def post_plain(plain: Plain) -> None:
        assert plain

    return app


def main() -> None:
    """Serve them on a free port until a signal."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    Server(create_app(), lambda: print(f"{SAYS}http://127.0.0.1:{port}", flush=True)).serve_on(
        listener
    )


if __name__ == "__main__":
    main()
