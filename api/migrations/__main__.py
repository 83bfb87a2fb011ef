"""`python -m api.migrations TITLE`: write the next step, up to the tables as they are.

For those who develop the ledger; what comes out is to be read, and completed by hand where rows
have to be filled.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from api import migrate
from api.engine import engine_of


def main(title: str) -> None:
    """Write the step beside the others."""
    with tempfile.TemporaryDirectory() as directory:
        engine = engine_of(f"sqlite:///{Path(directory) / 'ledger.db'}")
        migrate.upgrade(engine)
        with engine.begin() as connection:
            command.revision(
                migrate.config(connection),
                message=title,
                autogenerate=True,
                rev_id=f"{int(migrate.head()) + 1:04}",
            )
        engine.dispose()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('usage: python -m api.migrations "add budgets"')
    main(sys.argv[1])
