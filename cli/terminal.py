"""What all commands share: exit codes, errors, output, tables, and running until Ctrl-C."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx2
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from autos.settings import DatabaseUnavailable, MissingSettings
from cli.stack.state import AlreadyRunning, StackError

T = TypeVar("T")

FAILED: Final = 1
USAGE: Final = 2
WITH_FAILURES: Final = 3
INTERRUPTED: Final = 130

_PIPE_WIDTH: Final = 10_000
"""Wider than any line, so nothing is cut or wrapped in a pipe."""
_ID_WIDTH: Final = 36

console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
errors: Final = Console(stderr=True, highlight=False)


class CommandError(RuntimeError):
    """The command ends here. The message says what happened and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(Exception):
    """Ctrl-C or SIGTERM; the coroutine was cancelled and has cleaned up."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; Ctrl-C and SIGTERM cancel it.

    Raises:
        Interrupted: it was cancelled by a signal.
    """
    try:
        return asyncio.run(_cancelled_by_signals(coroutine))
    except asyncio.CancelledError:
        raise Interrupted from None


async def _cancelled_by_signals(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # inside a coroutine there is one
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await coroutine


@contextmanager
def errors_reported(failure: int = FAILED) -> Iterator[None]:
    """Print expected errors as sentences and exit with their code; others keep their traceback.

    Args:
        failure: the exit code when the service cannot be reached or refuses the request.
    """
    try:
        yield
    except (AlreadyRunning, MissingSettings) as wrong:
        code = print_error(str(wrong), USAGE)
    except CommandError as failed:
        code = print_error(str(failed), failure if failed.exit_code == FAILED else failed.exit_code)
    except (StackError, DatabaseUnavailable) as failed:
        code = print_error(str(failed), FAILED)
    except httpx2.TransportError as broken:
        code = print_error(
            f"The connection broke ({type(broken).__name__}). Is the service running? "
            "Start the embedded stack with `make up`.",
            failure,
        )
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    else:
        return
    raise typer.Exit(code)


def print_error(message: str, exit_code: int = FAILED) -> int:
    """Write a message to standard error; returns the exit code, for the caller to exit with."""
    errors.print(message, style="red", markup=False, soft_wrap=True)
    return exit_code


def print_note(message: str) -> None:
    """Write a message to standard error, where standard output is for a secret or JSON alone."""
    errors.print(message, markup=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Write a line as it is: no markup is read, and long lines are not wrapped."""
    console.print(text, markup=False, soft_wrap=True)


def print_json(content: object) -> None:
    """Write an answer for a program."""
    console.print_json(json.dumps(content))


def new_table(ids: str = "") -> Table:
    """An empty table. With `ids`, its first column has that title and never cuts an id."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    if ids:
        table.add_column(ids, no_wrap=True, min_width=_ID_WIDTH)
    return table
