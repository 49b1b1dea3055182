"""The terminal: what is written to it, and how a command's coroutine is run and interrupted."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx2
import typer
from rich.console import Console

from autos.settings import DatabaseAway, MissingSettings
from cli.errors import FAILED, INTERRUPTED, USAGE, CommandError
from cli.stack.state import AlreadyRunning, StackError

T = TypeVar("T")

_PIPE_WIDTH: Final = 10_000
"""Wider than any line: nothing is cut or wrapped for want of room."""

console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
errors: Final = Console(stderr=True, highlight=False)


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


@contextmanager
def sentences(failure: int = FAILED) -> Iterator[None]:
    """Leave the program with a sentence and an exit code where something expected goes wrong.

    Args:
        failure: the exit code where the service cannot be asked, or refuses.
    """
    try:
        yield
    except AlreadyRunning as running:
        code = complain(str(running), USAGE)
    except CommandError as failed:
        code = complain(str(failed), failure if failed.exit_code == FAILED else failed.exit_code)
    except (StackError, DatabaseAway) as failed:
        code = complain(str(failed), FAILED)
    except MissingSettings as missing:
        code = complain(str(missing), USAGE)
    except httpx2.TransportError as broken:
        code = complain(
            f"The connection broke ({type(broken).__name__}). Is the service up? "
            "Start the embedded one with `make up`.",
            failure,
        )
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    else:
        return
    raise typer.Exit(code)


def complain(message: str, exit_code: int) -> int:
    """Write a message to standard error; returns the exit code, for the caller to leave with."""
    errors.print(message, style="red", markup=False, soft_wrap=True)
    return exit_code


def say(sentence: str) -> None:
    """Write a line as it is, whatever is in it and however long it is."""
    console.print(sentence, markup=False, soft_wrap=True)


def print_json(content: object) -> None:
    """Write an answer for a program."""
    console.print_json(json.dumps(content))


async def _cancelled_by_signals(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # inside a coroutine there is one
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await coroutine
