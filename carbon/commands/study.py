"""`carbon study`: many trainings that are meant to be compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from carbon.commands.behind_dashes import WithCommand, behind_dashes
from carbon.commands.tune import tune
from carbon.errors import UsageError
from carbon.settings import load

app = typer.Typer(help="Train many times, to be compared.", no_args_is_help=True)

FOLDERS = Path("studies")


@app.callback()
def _root() -> None: ...


app.command("tune", cls=WithCommand, options_metavar="[OPTIONS]")(tune)


@app.command("run", cls=WithCommand, options_metavar="[OPTIONS]")
def run_study(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.yaml]", help="The study's file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name.")] = None,
    project: Annotated[
        str | None,
        typer.Option(help="What the runs belong to.", show_default="task or name"),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the trainers train: digits ...")] = None,
    strategies: Annotated[
        str | None, typer.Option(metavar="S,S", help="How it is distributed: ddp,fsdp ...")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N,N", help="With how many workers: 1,2,4 ...")
    ] = None,
    repeats: Annotated[int | None, typer.Option(help="How often each.", show_default="3")] = None,
    size: Annotated[str | None, typer.Option(help="small, medium or large.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each training.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Of all workers together; of each with --scaling weak.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of each training.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the order and of each training.", show_default="0")
    ] = None,
    scaling: Annotated[
        str | None,
        typer.Option(help="strong: the same work for all; weak: the same for each worker."),
    ] = None,
    threads_per_worker: Annotated[
        int | None, typer.Option(show_default="the cores by the most workers")
    ] = None,
    launcher: Annotated[
        str | None, typer.Option(help="local, slurm or ray.", show_default="local")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where it is kept.", show_default="studies/NAME")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also make those again that failed.")
    ] = False,
    stop_on_failure: Annotated[
        bool, typer.Option("--stop-on-failure", help="Start no more runs after one that failed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, in order.")
    ] = False,
) -> None:
    """Run every strategy on every number of workers, several times, in random order.

    Behind `--` stands a command with {workers} in it, to be run in place of a task; or, with a
    task, more options of the trainers.

    Called again it goes on where it stopped. Options win over the file. Strategies, workers and
    repeats may be added to a study later.
    """
    from carbon.study import runner
    from carbon.study.runner import Wishes
    from carbon.study.spec import make_spec, read_document

    behind: list[str] = behind_dashes(context)
    given: dict[str, Any] = {
        "name": name,
        "project": project,
        "task": task,
        "strategies": _listed(strategies),
        "workers": _listed(workers),
        "repeats": repeats,
        "size": size,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "scaling": scaling,
        "threads_per_worker": threads_per_worker,
        "launcher": launcher,
    }
    try:
        document = {} if file is None else read_document(file)
        document |= {key: value for key, value in given.items() if value is not None}
        if behind:
            is_task = document.get("task") is not None
            document["arguments" if is_task else "command"] = behind
        spec = make_spec(document, "the study" if file is None else str(file))
        path = (folder or FOLDERS / spec.name).absolute()
        wishes = Wishes(retry_failed=retry_failed, stop_on_failure=stop_on_failure)
        if dry_run:
            for line in runner.dry_run(spec, path, load(), wishes):
                typer.echo(line)
            return
        from rich.console import Console

        console = Console(highlight=False)
        raise typer.Exit(runner.run(spec, path, load(), wishes, console))
    except UsageError as error:
        for line in str(error).splitlines():
            typer.echo(f"carbon study: {line}", err=True)
        raise typer.Exit(2) from error


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [each.strip() for each in text.split(",")]
