"""`autos credentials`: the credential that the source is asked with, set and looked at.

A token is read from standard input or typed at a prompt. It is never an argument, which every user
of the machine could read, and it is never shown.
"""

import sys

import typer

from cli.answers import CredentialState
from cli.client import open_client
from cli.connection import Connection, find_connection
from cli.errors import USAGE, CommandError
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, Key, Url
from cli.terminal import print_json, run, say, sentences

app = typer.Typer(help="The source's credential (needs an admin key).", no_args_is_help=True)


@app.command("set")
def set_command(url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Set the access token, and with it the refresh token if there is one.

    Asks for them at a terminal. Otherwise standard input holds the access token in its first line
    and the refresh token, if any, in its second: `autos credentials set < token.txt`.
    """
    with sentences():
        connection = find_connection(url, key, data_dir)
        access_token, refresh_token = read_tokens()
        raise typer.Exit(run(set_tokens(connection, access_token, refresh_token)))


@app.command("show")
def show_command(
    as_json: AsJson = False, url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Show whether one is set, until when, and what waits for it; never the tokens."""
    with sentences():
        raise typer.Exit(run(show(find_connection(url, key, data_dir), as_json=as_json)))


def read_tokens() -> tuple[str, str | None]:
    """The access token, and the refresh token if there is one.

    Raises:
        CommandError: there is no access token, or there is more than two lines.
    """
    if sys.stdin.isatty():
        lines = [
            typer.prompt("Access token", hide_input=True),
            typer.prompt("Refresh token (Enter for none)", default="", hide_input=True),
        ]
    else:
        lines = sys.stdin.read().strip().splitlines()
    tokens = [line.strip() for line in lines]
    if not tokens or not tokens[0] or len(tokens) > 2:
        raise CommandError(
            "Give the access token in the first line of standard input, and the refresh token, "
            "if there is one, in the second.",
            USAGE,
        )
    return tokens[0], (tokens[1] if len(tokens) == 2 else "") or None


async def set_tokens(connection: Connection, access_token: str, refresh_token: str | None) -> int:
    """Set the credential."""
    async with open_client(connection) as client:
        woken = (await client.set_credential(access_token, refresh_token)).woken_jobs
    say(f"The credential is set. {woken} jobs waited for it and try again now.")
    return 0


async def show(connection: Connection, *, as_json: bool) -> int:
    """Print the credential's state."""
    async with open_client(connection) as client:
        state = await client.credential()
    if as_json:
        print_json(state.as_sent())
    else:
        say(describe(state))
    return 0


def describe(state: CredentialState) -> str:
    """A credential in one line."""
    if not state.is_set:
        words = ["none is set"]
    else:
        words = ["set", "is refreshed by itself" if state.refreshable else "cannot be refreshed"]
        if state.expires_at:
            words.append(f"expires {state.expires_at.astimezone():%Y-%m-%d %H:%M}")
    if state.refused_since:
        words.append(f"refused since {state.refused_since.astimezone():%Y-%m-%d %H:%M}")
    if state.waiting_jobs:
        words.append(f"{state.waiting_jobs} jobs wait for a new one")
    return ", ".join(words)
