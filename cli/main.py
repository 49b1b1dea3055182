"""The command `autos`. A command is in the module with its name, or with the name of its noun."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    credentials,
    doctor,
    download,
    jobs,
    keys,
    processes,
    service_processes,
    up,
    webhooks,
)
from cli.connection import DEFAULT_DATA_DIR, DataDir
from cli.terminal import INTERRUPTED, errors_reported, print_line, run

app = typer.Typer(
    name="autos",
    help="Downloads every document of a Brazilian court case to your S3 bucket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("demo")
def demo_command(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Download a synthetic case of 43 documents, end to end, and check the result."""
    # Slow to import, and no other command needs the sandbox's cases.
    from cli.demo import demo

    with errors_reported():
        run(demo(data_dir))


for commands in (up, download, processes, doctor, service_processes):
    app.add_typer(commands.app)
for group in (keys, jobs, webhooks, credentials):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])


def _version(requested: bool) -> None:
    if requested:
        print_line(f"autos {version('autos')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Downloads every document of a Brazilian court case to your S3 bucket."""


def main() -> None:
    """The entry point."""
    try:
        app()
    except KeyboardInterrupt:
        # Ctrl-C before the command has started, or after it has ended.
        sys.exit(INTERRUPTED)
