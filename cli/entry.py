"""`autos migrate | worker | api | sandbox`: the service's own processes, in the foreground."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from autos.records.migrate import migrate as run_migrations
from autos.settings import Settings
from cli.errors import USAGE, CommandError
from cli.stack.environment import part_environment
from cli.stack.state import StackState, is_running
from cli.terminal import console


async def migrate() -> int:
    """Bring the database to the newest schema; returns the exit code."""
    try:
        settings = Settings()
    except ValidationError as invalid:
        raise CommandError(_invalid_settings(invalid), USAGE) from invalid
    settings.require("database_url")
    await run_migrations(settings.database_url)
    console.print("The database has the newest schema.")
    return 0


def become(module: str, arguments: list[str], data_dir: Path) -> NoReturn:
    """Become another process of the service, which so gets every signal itself.

    Where the embedded stack runs on `data_dir`, the process joins it, unless it is told otherwise
    by its environment.
    """
    environment = dict(os.environ)
    state = StackState.load(data_dir) if is_running(data_dir) else None
    if state is not None:
        environment = {**part_environment(module, {}, state.environment), **environment}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606  # no shell is the point


def _invalid_settings(invalid: ValidationError) -> str:
    lines = [
        f"  AUTOS_{str(error['loc'][0]).upper()}: {error['msg']}"
        for error in invalid.errors()
        if error["loc"]
    ]
    return "\n".join(["These settings are not right (environment or .env):", *lines])
