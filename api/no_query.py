"""Routes without parameters say so, where one that is not there would be ignored in silence."""

from fastapi import Depends, Request

from api.problems import refused


async def _refuse_parameters(request: Request) -> None:
    if names := dict.fromkeys(request.query_params):
        wrong = {"msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
        raise refused([{"loc": (name,), **wrong} for name in names], whole="request")


NO_QUERY = Depends(_refuse_parameters)
"""For a router or route that reads nothing from what follows the question mark."""
