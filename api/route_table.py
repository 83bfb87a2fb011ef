"""The app's routes as a table: which template answered a request, which methods a path knows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute, Mount, Route, compile_path
from starlette.types import Scope

UNMATCHED = "unmatched"
"""Stands for every path that no route has, so that nobody can make up new names."""


@dataclass(frozen=True)
class _Entry:
    template: str
    regex: re.Pattern[str]
    methods: frozenset[str]


class RouteTable:
    """What is asked of all routes at once.

    It is made of the routers themselves: how FastAPI keeps included ones differs by version.
    """

    def __init__(
        self, routers: Iterable[tuple[str, APIRouter]], others: Iterable[BaseRoute]
    ) -> None:
        """Take routers, each with the prefix it is included under, and the app's own routes."""
        self._entries: list[_Entry] = []
        self._templates: dict[Any, str] = {}
        for prefix, router in routers:
            for route in router.routes:
                self._add(prefix, route)
        for route in others:
            self._add("", route)

    def template(self, scope: Scope) -> str:
        """Return the path of the route that answered, with names where it has parameters."""
        return self._templates.get(scope.get("endpoint"), UNMATCHED)

    def methods(self, path: str) -> list[str]:
        """Return what can be done with a path, whichever of its routes does it."""
        return sorted(
            {
                method
                for entry in self._entries
                if entry.regex.match(path)
                for method in entry.methods
            }
        )

    def _add(self, prefix: str, route: BaseRoute) -> None:
        if isinstance(route, Route):
            regex, template, _ = compile_path(prefix + route.path)
            methods = set(route.methods or ())
            if "GET" in methods:
                methods.add("HEAD")  # By `api.heads`.
            self._entries.append(_Entry(template, regex, frozenset(methods)))
            self._templates[route.endpoint] = template
        elif isinstance(route, Mount):
            self._templates[route.app] = route.path
