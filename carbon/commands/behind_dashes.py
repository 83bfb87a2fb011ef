"""What stands behind `--` on a command line: another command, whatever it looks like."""

from typing import Any

import typer
from typer.core import TyperCommand

_KEY = "carbon.commands.behind_dashes"


class WithCommand(TyperCommand):
    """Keeps what stands behind `--` apart from its own arguments and options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the dashes."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_KEY] = args[end + 1 :]
        return super().parse_args(ctx, args[:end])


def behind_dashes(context: typer.Context) -> list[str]:
    """Return the words behind `--`; none where there is none."""
    words: list[str] = context.meta[_KEY]
    return words
