"""Shared by all commands: exit codes, errors, output, tables, and cancellation by Ctrl-C."""

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
"""Wider than any line: output to a pipe is not truncated or wrapped."""
_ID_WIDTH: Final = 36

console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
errors: Final = Console(stderr=True, highlight=False)


class CommandError(RuntimeError):
    """Ends the command. The message says what happened and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(Exception):
    """Ctrl-C or SIGTERM; the coroutine was cancelled and has cleaned up."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; Ctrl-C and SIGTERM cancel it.

    Raises:
        Interrupted: it was cancelled by a signal.
    """
    try:
        return asyncio.run(_cancelled_by_signals(coroutine))
    except asyncio.CancelledError:
        raise Interrupted from None


async def _cancelled_by_signals(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # a coroutine always runs in a task
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await coroutine


@contextmanager
def errors_reported(failure: int = FAILED) -> Iterator[None]:
    """Print expected errors as sentences and exit with their code; other errors are raised.

    Args:
        failure: the exit code when the service is unreachable or rejects the request.
    """
    try:
        yield
    except (AlreadyRunning, MissingSettings) as error:
        code = print_error(str(error), USAGE)
    except CommandError as error:
        code = print_error(str(error), failure if error.exit_code == FAILED else error.exit_code)
    except (StackError, DatabaseUnavailable) as error:
        code = print_error(str(error), FAILED)
    except httpx2.TransportError as error:
        code = print_error(
            f"The connection broke ({type(error).__name__}). Is the service running? "
            "Start the embedded stack with `make up`.",
            failure,
        )
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    else:
        return
    raise typer.Exit(code)


def print_error(message: str, exit_code: int = FAILED) -> int:
    """Write a message to standard error; returns the exit code."""
    errors.print(message, style="red", markup=False, soft_wrap=True)
    return exit_code


def print_note(message: str) -> None:
    """Write a message to standard error, because standard output holds only a secret or JSON."""
    errors.print(message, markup=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Write a line without interpreting markup or wrapping long lines."""
    console.print(text, markup=False, soft_wrap=True)


def print_json(content: object) -> None:
    """Write JSON to standard output."""
    console.print_json(json.dumps(content))


def new_table(ids: str = "") -> Table:
    """An empty table. `ids` is the title of a first column that never truncates ids."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    if ids:
        table.add_column(ids, no_wrap=True, min_width=_ID_WIDTH)
    return table
