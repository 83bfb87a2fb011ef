"""`carbon study tune`: a hyperparameter search of which every trial is a tracked run."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from carbon.commands.behind_dashes import behind_dashes
from carbon.errors import UsageError

if TYPE_CHECKING:
    from carbon.tuning.search import Search

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


def tune(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[TUNE.yaml]", help="The search's file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study of the trials' runs.")] = None,
    project: Annotated[str | None, typer.Option(help="What the runs belong to.")] = None,
    task: Annotated[str | None, typer.Option(help="Train this task of the trainers.")] = None,
    size: Annotated[str | None, typer.Option(help="The task's size.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="How each trial is distributed: ddp, fsdp ...")
    ] = None,
    workers_per_trial: Annotated[
        int | None, typer.Option(help="Workers of each trial.", show_default="1")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARAMETER=DOMAIN",
            help="log:1e-4:1e-1, float:0:0.5, int:16:256, logint:1:1000 or choice:32,64,128; "
            "repeatable.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What trials are compared by.", show_default="loss")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="min or max of it is best.", show_default="min")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many to try.", show_default="20")] = None,
    parallel: Annotated[
        int | None, typer.Option(help="How many at a time.", show_default="1")
    ] = None,
    max_epochs: Annotated[
        int | None, typer.Option(help="Epochs of a trial that is not stopped.", show_default="10")
    ] = None,
    grace_epochs: Annotated[
        int | None, typer.Option(help="Epochs that every trial has.", show_default="1")
    ] = None,
    reduction: Annotated[
        int | None,
        typer.Option(help="One in so many goes on at each rung.", show_default="3"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws and the trainings.", show_default="0")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="optuna or ray.", show_default="optuna")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="PARAMETER=VALUE,...",
            help="Compare with these parameters, in a trial that is not one of the search.",
        ),
    ] = None,
    first: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARAMETER=VALUE,...", help="Try these before any are drawn; repeatable."
        ),
    ] = None,
    final: Annotated[
        bool | None, typer.Option("--final", help="Train the best once more in the end.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where it is kept.", show_default="studies/NAME")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started.")
    ] = False,
) -> None:
    """Search hyperparameters by random search with ASHA; every trial is a tracked run.

    Behind `--` stands a command with {parameter} in it for each of them, to be run in place of a
    task. {epochs}, {seed} and {trial} are filled in too.

    Called again it goes on where it stopped. Options win over the file.
    """
    given = {
        "name": name,
        "project": project,
        "task": task,
        "size": size,
        "strategy": strategy,
        "workers_per_trial": workers_per_trial,
        "metric": metric,
        "mode": mode,
        "trials": trials,
        "parallel": parallel,
        "max_epochs": max_epochs,
        "grace_epochs": grace_epochs,
        "reduction": reduction,
        "seed": seed,
        "backend": backend,
        "final": final,
    }
    flags = {key: value for key, value in given.items() if value is not None}
    try:
        flags |= _parsed(space, baseline, first)
        _run(file, {**flags, **_command(behind_dashes(context))}, folder, is_dry=dry_run)
    except UsageError as error:
        typer.echo(f"carbon study: {error}", err=True)
        raise typer.Exit(2) from error


def _command(behind: list[str]) -> dict[str, list[str]]:
    return {"command": behind} if behind else {}


def _parsed(
    space: list[str] | None, baseline: str | None, first: list[str] | None
) -> dict[str, Any]:
    from carbon.tuning.space import parameters_from_text

    found: dict[str, Any] = {}
    if space:
        pairs = [text.partition("=") for text in space]
        for text, (key, equals, domain) in zip(space, pairs, strict=True):
            if not (key and equals and domain):
                raise UsageError(f"--space {text}: give it as PARAMETER=DOMAIN")
        found["space"] = {key.strip(): domain for key, _, domain in pairs}
    if baseline is not None:
        found["baseline"] = parameters_from_text("baseline", baseline)
    if first:
        found["first"] = tuple(parameters_from_text("first", text) for text in first)
    return found


def _run(file: Path | None, flags: dict[str, Any], folder: Path | None, *, is_dry: bool) -> None:
    from rich.console import Console

    from carbon import settings
    from carbon.tuning.figures import figures, sentences
    from carbon.tuning.journal import Journal
    from carbon.tuning.search import Search, check_unchanged, resumed, run_search
    from carbon.tuning.spec import read_document, spec_from
    from carbon.tuning.tables import Progress, trials_table, write_files

    given = {**(read_document(file) if file is not None else {}), **flags}
    directory = (folder or folder_of(given.get("name"))).absolute()
    journal = Journal(directory)
    spec = spec_from(resumed(journal, given))
    check_unchanged(journal, spec)
    if is_dry:
        _show_dry(Search(spec, directory, settings.load(), lambda trials: None, Path.cwd()))
        return
    console = Console(highlight=False, soft_wrap=True)
    if spec.backend == "ray" and any(trial.status != "running" for trial in journal.trials()):
        console.print(
            "Ray Tune's ASHA begins anew: what earlier trials reached does not stop those that are "
            "still to come; with --backend optuna it does"
        )
    signal.signal(signal.SIGTERM, _interrupt)
    with Progress(spec, console) as progress:
        search = Search(spec, directory, settings.load(), progress.show, Path.cwd())
        try:
            trials = run_search(search)
        except KeyboardInterrupt:
            _leave(spec.name, directory)
    write_files(spec, trials, directory)
    if not console.is_terminal:
        console.print(trials_table(spec, trials))
    found = figures(trials, spec.mode)
    for line in sentences(found, spec.metric, spec.mode):
        console.print(line, markup=False)
    if found.best is None:
        raise typer.Exit(1)


def _show_dry(search: "Search") -> None:
    from carbon.tuning.dry_run import dry_run

    for line in dry_run(search):
        typer.echo(line)


def folder_of(name: object) -> Path:
    """Return where a search is kept unless told.

    Raises:
        UsageError: it has no name, or one that no directory can have.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError("--name is missing: the study that the trials' runs are to be in")
    if "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(f"--name {name}: no directory can have this name; give an --folder too")
    return Path("studies") / name.strip()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave(name: str, directory: Path) -> NoReturn:
    sys.stderr.write(
        f"carbon: the search in {directory} was ended, and its trials with it; "
        f"`carbon study tune --name {name}` goes on with it\n"
    )
    raise typer.Exit(INTERRUPTED)
