"""`autos migrate`, `worker`, `api` and `sandbox`: run one of the service's processes."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from pydantic import ValidationError

from autos.settings import Settings
from cli.connection import DEFAULT_DATA_DIR, DataDir
from cli.stack.environment import part_environment
from cli.stack.state import StackState, is_running
from cli.terminal import USAGE, CommandError, console, errors_reported, run

app = typer.Typer()

_FORWARD: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
Forwarded = Annotated[list[str] | None, typer.Argument(help="Passed on to the process.")]


@app.command("migrate")
def migrate_command() -> None:
    """Upgrade the database schema."""
    # Slow to import, and no other command needs the database.
    from autos.records.migrate import migrate

    with errors_reported():
        try:
            settings = Settings()
        except ValidationError as error:
            raise CommandError(_describe(error), USAGE) from error
        settings.require("database_url")
        run(migrate(settings.database_url))
        console.print("The database schema is up to date.")


@app.command("worker", context_settings=_FORWARD)
def worker_command(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a worker in the foreground; it uses the embedded stack if that is running."""
    with errors_reported():
        run_module("worker", arguments or [], data_dir)


@app.command("api", context_settings=_FORWARD)
def api_process_command(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the HTTP API in the foreground; it uses the embedded stack if that is running."""
    with errors_reported():
        run_module("api", arguments or [], data_dir)


@app.command("sandbox", context_settings=_FORWARD)
def sandbox_command(arguments: Forwarded = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the stand-in for PDPJ in the foreground."""
    with errors_reported():
        run_module("sandbox", arguments or [], data_dir)


def run_module(module: str, arguments: list[str], data_dir: Path) -> NoReturn:
    """Replace this process with a module of the service, which then receives all signals.

    If the embedded stack runs on `data_dir`, the process gets the stack's settings. Variables of
    the environment override them.
    """
    environment = dict(os.environ)
    state = StackState.load(data_dir) if is_running(data_dir) else None
    if state is not None:
        environment = {**part_environment(module, {}, state.environment), **environment}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606  # exec without a shell is intended


def _describe(invalid_settings: ValidationError) -> str:
    lines = [
        f"  AUTOS_{str(error['loc'][0]).upper()}: {error['msg']}"
        for error in invalid_settings.errors()
        if error["loc"]
    ]
    return "\n".join(["These settings are invalid (environment or .env):", *lines])
