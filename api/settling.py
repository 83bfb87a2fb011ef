"""Having the labels of runs follow, by whoever needs them or has the time."""

import logging

from sqlalchemy import Engine, exists, select
from sqlalchemy.exc import DBAPIError

from api import labels
from api.db import writing
from api.problems import ProblemError
from api.tables import UNLABELLED

logger = logging.getLogger("api")

_ANY = select(exists().select_from(UNLABELLED))


def settle(engine: Engine) -> None:
    """Write what labels there are to write; where the database does not let it, they wait on."""
    try:
        with engine.connect() as connection:
            if not connection.execute(_ANY).scalar_one():
                return
        while True:
            with writing(engine) as connection:
                if labels.settle(connection) < labels.SETTLED_TOGETHER:
                    return
    except DBAPIError as error:
        logger.warning("new runs are not found by their labels yet: %s", error.orig)
    except ProblemError as error:  # The ledger's file was taken away, and every answer says so.
        logger.debug("new runs are not found by their labels yet: %s", error)
