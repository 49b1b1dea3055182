"""The command `autos`: what can be said on the command line. Each verb does its work elsewhere.

A verb's module is imported when the verb is called, so that a look at a status does not wait for
the database library.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import find_connection
from cli.credentials import app as credentials_app
from cli.errors import INTERRUPTED, USAGE, CommandError
from cli.jobs import app as jobs_app
from cli.keys import app as keys_app
from cli.numbers import read_number, read_numbers
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, Key, Url
from cli.terminal import run, say, sentences
from cli.webhooks import app as webhooks_app

app = typer.Typer(
    name="autos",
    help="Fetches every document of a Brazilian court case into your S3 bucket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_app, name="keys")
app.add_typer(jobs_app, name="jobs")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(credentials_app, name="credentials")

Number = Annotated[str, typer.Argument(help="The case number, NNNNNNN-DD.AAAA.J.TR.OOOO or bare.")]
Forwarded = Annotated[list[str] | None, typer.Argument(help="Handed on as they are.")]


def _version(asked: bool) -> None:
    if asked:
        say(f"autos {version('autos')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Fetches every document of a Brazilian court case into your S3 bucket."""


@app.command()
def up(
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Start the embedded stack and keep it up until Ctrl-C."""
    from cli import up as verb

    with sentences():
        raise typer.Exit(run(verb.up(data_dir, workers)))


@app.command()
def demo(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Download one synthetic case of 43 documents, end to end, and check everything."""
    from cli import demo as verb

    with sentences():
        raise typer.Exit(run(verb.demo(data_dir)))


@app.command()
def env(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Print the running stack's addresses and key for a shell: `eval "$(autos env)"`."""
    from cli import env as verb

    with sentences():
        raise typer.Exit(verb.env(data_dir))


@app.command()
def download(
    numbers: Annotated[list[str] | None, typer.Argument(help="Case numbers.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file of them, one a line; - for stdin.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--save", help="Save the files, in a folder for each process.")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Processes at once.")] = 4,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Watch to the end.")] = True,
    webhook_url: Annotated[str | None, typer.Option(help="Called when the job ends.")] = None,
    force_refresh: Annotated[
        bool, typer.Option("--force-refresh", help="Ask the source anew, however fresh we are.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Download processes, and save their files where a folder is given.

    Exit code 0: all completed, 3: some documents failed or are doubtful, 1: a process failed, was
    cancelled or refused, or a file could not be saved.
    """
    from cli import download as verb

    with sentences():
        if folder is not None and not follow:
            raise CommandError("--save watches the job to its end: leave out --no-watch.", USAGE)
        cases, connection = read_numbers(numbers or [], file), find_connection(url, key, data_dir)
        order = verb.Order(cases, webhook_url, force_refresh, follow, folder, parallel)
        raise typer.Exit(run(verb.download(connection, order, as_json=as_json)))


@app.command()
def status(
    number: Number,
    documents: Annotated[bool, typer.Option("--documents", help="List the documents.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how far a process is."""
    from cli import reading

    with sentences():
        case, connection = read_number(number), find_connection(url, key, data_dir)
        verb = reading.status(connection, case, with_documents=documents, as_json=as_json)
        raise typer.Exit(run(verb))


@app.command()
def process(
    number: Number,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show what is held of a process; starts nothing."""
    from cli import reading

    with sentences():
        case, connection = read_number(number), find_connection(url, key, data_dir)
        raise typer.Exit(run(reading.process(connection, case, as_json=as_json)))


@app.command()
def documents(
    number: Number,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the documents of a process."""
    from cli import reading

    with sentences():
        case, connection = read_number(number), find_connection(url, key, data_dir)
        raise typer.Exit(run(reading.documents(connection, case, as_json=as_json)))


@app.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; mend nothing.")] = False,
    patience: Annotated[int, typer.Option(min=1, help="Seconds to wait for the report.")] = 300,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Look at every part, mend what has come apart, and say what to do (needs an admin key).

    Exit code 0: all is well or mended, 1: something is left for a person, 2: it could not look.
    """
    from cli import doctor as verb

    with sentences(failure=verb.COULD_NOT_LOOK):
        connection = find_connection(url, key, data_dir)
        options = verb.Options(dry_run=dry_run, patience=patience, as_json=as_json)
        raise typer.Exit(run(verb.doctor(connection, options)))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from cli import entry

    with sentences():
        raise typer.Exit(run(entry.migrate()))


_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_FORWARD)
def worker(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a worker in the foreground; it joins the embedded stack where that runs."""
    from cli import entry

    with sentences():
        entry.become("worker", arguments or [], data_dir)


@app.command(context_settings=_FORWARD)
def api(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the HTTP API in the foreground; it joins the embedded stack where that runs."""
    from cli import entry

    with sentences():
        entry.become("api", arguments or [], data_dir)


@app.command(context_settings=_FORWARD)
def sandbox(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the stand-in for PDPJ in the foreground."""
    from cli import entry

    with sentences():
        entry.become("sandbox", arguments or [], data_dir)


def main() -> None:
    """The entry point."""
    try:
        app()
    except KeyboardInterrupt:
        # Before the verb had begun, or after its end.
        sys.exit(INTERRUPTED)
