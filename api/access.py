"""What a request may do: in which projects, and what in them.

Every query takes one. What a request may not see is to it as if it were not there: it gets the
answer that it would get of a ledger without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, true

from api.problems import ProblemError, cut

Scope = Literal["ingest", "read", "admin"]
"""Deliver reports; read what is in the ledger; also delete and correct it."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Access:
    """What a request may do.

    Attributes:
        projects: the only ones that are there for it; None for all.
        scopes: what it may do in them; `admin` is everything.
        sender: the key that it came with, as the audit log names it; None without one.
    """

    projects: frozenset[str] | None = None
    scopes: frozenset[Scope] = frozenset(SCOPES)
    sender: str | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether it has a scope, by itself or as `admin`."""
        return scope in self.scopes or "admin" in self.scopes

    def admits(self, project: str) -> bool:
        """Tell whether a project is there for it."""
        return self.projects is None or project in self.projects

    def among(self, asked: Sequence[str]) -> tuple[str, ...] | None:
        """Return the projects to look in: those asked for, or any if none is, that it may see.

        None means every project.
        """
        if asked:
            return tuple(project for project in dict.fromkeys(asked) if self.admits(project))
        return None if self.projects is None else tuple(sorted(self.projects))

    def covers(self, column: Any) -> ColumnElement[bool]:
        """Return the condition that the project in a column is there for it."""
        return true() if self.projects is None else column.in_(sorted(self.projects))

    def require_project(self, project: str) -> None:
        """Raise a 403 `ProblemError` unless it may write into a project."""
        if not self.admits(project):
            raise ProblemError(
                403,
                f"this key is not for project {cut(project)!r}, but for "
                f"{cut(', '.join(map(repr, sorted(self.projects or ()))))}; name one of "
                "those, or use another key",
            )

    def require_all_projects(self, what: str) -> None:
        """Raise a 403 `ProblemError` unless it may see every project, as `what` shows them."""
        if self.projects is not None:
            raise ProblemError(
                403,
                f"{what} of the whole server, and this key is for some projects only; use one "
                "made without --project",
            )


UNLIMITED = Access()
"""Of the server itself, and of everyone where no key is needed."""
