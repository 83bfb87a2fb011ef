"""`carbon study`: many trainings that are meant to be compared."""

import typer

app = typer.Typer(help="Train many times, to be compared.", no_args_is_help=True)


@app.callback()
def _root() -> None: ...
