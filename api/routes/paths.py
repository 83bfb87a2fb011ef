"""Names in paths, for the routes to know where one ends: `{project:project}`, `{run_id:run}`."""

from starlette.convertors import Convertor, register_url_convertor


class _ProjectConvertor(Convertor[str]):
    """A project's name in a path: anything, slashes and line breaks too.

    The server decodes %2F before it routes, so the name ends at the last suffix, not at a slash:
    a project named "a/summary" has its summary at /v1/projects/a%2Fsummary/summary.
    """

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _RunConvertor(Convertor[str]):
    """A run's id in a path, or what is taken for one: all but what another route has there."""

    regex = "(?!batch$)[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def register() -> None:
    """Make the convertors known, before a route that uses them is made."""
    register_url_convertor("project", _ProjectConvertor())
    register_url_convertor("run", _RunConvertor())
