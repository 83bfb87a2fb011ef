"""`carbon db` and `carbon keys`: the ledger itself, on the machine that has its database."""

from pathlib import Path
from typing import Annotated

import typer

from carbon import processes

database_app = typer.Typer(help="Look after the ledger.", no_args_is_help=True)
keys_app = typer.Typer(help="Say who may use the ledger's API.", no_args_is_help=True)

Database = Annotated[
    str | None,
    typer.Option(help="SQLAlchemy URL of the ledger, or CARBON_DATABASE_URL.", show_default=False),
]
BackupFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Of `carbon db backup`.", show_default=False)
]


def require_server() -> None:
    """Refuse what needs the server's packages where they are not installed.

    Raises:
        CarbonError: names what to install.
    """
    processes.require("server", "alembic", "fastapi", "sqlmodel", "uvicorn", "prometheus_client")


def database_arguments(database: str | None) -> list[str]:
    """Return what names the database to a command of `api`; without one it looks by itself."""
    return ["--database", database] if database else []


@database_app.command("upgrade")
def upgrade_database(database: Database = None) -> None:
    """Bring the ledger's tables up to this version's, keeping its runs; safe to repeat."""
    require_server()
    processes.become("api.administration", ["upgrade", *database_arguments(database)])


@database_app.command("verify")
def verify_database(
    database: Database = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make them anew where they differ.")
    ] = False,
) -> None:
    """Compare the ledger's sums and labels with its runs; exit code 1 where they differ."""
    require_server()
    options = ["--repair"] if repair else []
    processes.become("api.administration", ["verify", *options, *database_arguments(database)])


@database_app.command("backup")
def back_up_database(file: BackupFile, database: Database = None) -> None:
    """Write the ledger into one new file, while it is served."""
    require_server()
    arguments = ["backup", str(file), *database_arguments(database)]
    processes.become("api.administration", arguments)


@database_app.command("restore")
def restore_database(file: BackupFile, database: Database = None) -> None:
    """Fill an empty database, SQLite or PostgreSQL, from such a file."""
    require_server()
    arguments = ["restore", str(file), *database_arguments(database)]
    processes.become("api.administration", arguments)


@keys_app.command("create")
def create_key(
    project: Annotated[
        list[str] | None,
        typer.Option(help="What it is for; repeatable. Every project where it is left out."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            help="ingest, read or admin, which is both, corrects and deletes; repeatable.",
            show_default="ingest and read",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whose it is, for the list.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="Its last day, in UTC: 2030-12-31.")
    ] = None,
    database: Database = None,
) -> None:
    """Make a key of the API and show it, this once."""
    require_server()
    given = {"--project": project, "--scope": scope, "--name": name, "--expires": expires}
    arguments = [
        f"{option}={value}"
        for option, values in given.items()
        for value in ([values] if isinstance(values, str) else values or [])
    ]
    processes.become("api.key_commands", ["create", *arguments, *database_arguments(database)])


@keys_app.command("list")
def list_keys(database: Database = None) -> None:
    """List the keys, without their secrets."""
    require_server()
    processes.become("api.key_commands", ["list", *database_arguments(database)])


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")],
    database: Database = None,
) -> None:
    """Take a key back: every server refuses it within seconds."""
    require_server()
    processes.become("api.key_commands", ["revoke", *database_arguments(database), "--", key_id])
