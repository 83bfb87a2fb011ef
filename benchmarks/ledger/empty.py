"""What a report costs before anything is done with it: a FastAPI route that validates its body.

`python -m benchmarks.ledger.empty` serves it as `carbon serve` serves the ledger.
"""

import socket
from uuid import UUID

from fastapi import FastAPI

from api.server import Server
from carbon.schema import Accepted, RunReport

SAYS = "empty route on "


def create_app() -> FastAPI:
    """Return an app with nothing but the route."""
    app = FastAPI()

    @app.put("/v1/runs/{run_id}")
    async def put_run(run_id: UUID, report: RunReport) -> Accepted:
        return Accepted(run_id=run_id, seq=report.seq)

    return app


def main() -> None:
    """Serve it on a free port until a signal."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    Server(create_app(), lambda: print(f"{SAYS}http://127.0.0.1:{port}", flush=True)).serve_on(
        listener
    )


if __name__ == "__main__":
    main()
