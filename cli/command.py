"""Registers commands that use the API, with their common options, a client and the exit code."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from autos.cnj import CaseNumber, InvalidCaseNumber
from cli.client import open_client
from cli.connection import DEFAULT_DATA_DIR, Connection, DataDir, Key, Url, find_connection
from cli.terminal import FAILED, USAGE, CommandError, errors_reported, run

T = TypeVar("T")
Action = Callable[..., Awaitable[int | None]]
_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY


def api_command(app: typer.Typer, name: str, action: Action, *, failure: int = FAILED) -> Action:
    """Register a coroutine as a command: `@partial(api_command, app, "list")`.

    Args:
        app: the Typer application to which the command is added.
        name: the name of the command.
        action: called with an `ApiClient`. Its other parameters become the command's arguments and
            options, and its docstring becomes the help text. It returns the exit code, or None
            for 0.
        failure: the exit code when the service is unreachable or rejects the request.
    """

    def command(
        url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR, **options: Any
    ) -> None:
        with errors_reported(failure):
            code = call_api(find_connection(url, key, data_dir), action, **options)
            raise typer.Exit(code or 0)

    _, *specific = inspect.signature(action).parameters.values()
    *common, _ = inspect.signature(command).parameters.values()
    parameters = [parameter.replace(kind=_KEYWORD) for parameter in (*specific, *common)]
    # Typer reads the arguments and options of a command from its signature.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as PEP 362 has it
    app.command(name, help=inspect.getdoc(action))(command)
    return action


def call_api(connection: Connection, action: Callable[..., Awaitable[T]], /, **options: Any) -> T:
    """Run `action` with a client for the API; Ctrl-C cancels it."""
    return run(_call(connection, action, options))


async def _call(
    connection: Connection, action: Callable[..., Awaitable[T]], options: dict[str, Any]
) -> T:
    async with open_client(connection) as client:
        return await action(client, **options)


def parse_number(text: str) -> CaseNumber:
    """Parse a case number.

    Raises:
        CommandError: the text is not a case number.
    """
    try:
        return CaseNumber.parse(text)
    except InvalidCaseNumber as error:
        raise CommandError(f"{text} is not a case number. {error}", USAGE) from error


def _number(text: str) -> CaseNumber:
    # Typer replaces the text of an error that a parser raises, so it is printed here.
    with errors_reported():
        return parse_number(text)


Number = Annotated[
    CaseNumber,
    typer.Argument(
        parser=_number,
        metavar="NUMBER",
        help="The case number, as NNNNNNN-DD.AAAA.J.TR.OOOO or 20 digits.",
    ),
]
ProcessOption = Annotated[
    CaseNumber | None,
    typer.Option("--process", parser=_number, metavar="NUMBER", help="Only jobs of this process."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
