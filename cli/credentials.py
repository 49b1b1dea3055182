"""`autos credentials`: set the credential for the source, and show its state.

A token is read from standard input or a prompt. It is never an argument, because other users of the
machine can read arguments, and it is never printed.
"""

import sys
from functools import partial
from typing import TYPE_CHECKING

import typer

from cli.client import ApiClient, Json, parse
from cli.command import AsJson, api_command, call_api
from cli.connection import DEFAULT_DATA_DIR, DataDir, Key, Url, find_connection
from cli.terminal import USAGE, CommandError, errors_reported, print_json, print_line

if TYPE_CHECKING:
    # Slow to import: it includes the token checks of the source's client.
    from api.credentials.schemas import CredentialState

app = typer.Typer(help="The credential for the source (needs an admin key).", no_args_is_help=True)
_PATH = "/credentials/pdpj"


@app.command("set")
def set_command(url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Set the access token, and the refresh token if there is one.

    At a terminal the command prompts for them. Otherwise it reads the access token from the first
    line of standard input and the refresh token, if any, from the second:
    `autos credentials set < token.txt`.
    """
    with errors_reported():
        connection = find_connection(url, key, data_dir)
        access_token, refresh_token = read_tokens()
        call_api(connection, set_tokens, access_token=access_token, refresh_token=refresh_token)


def read_tokens() -> tuple[str, str | None]:
    """Read the access token, and the refresh token if there is one.

    Raises:
        CommandError: there is no access token, or there are more than two lines.
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


async def set_tokens(client: ApiClient, access_token: str, refresh_token: str | None) -> None:
    """Set the credential, and report how many jobs waited for it."""
    body: Json = {"access_token": access_token}
    if refresh_token:
        body["refresh_token"] = refresh_token
    from api.credentials.schemas import WokenJobs

    woken = parse(WokenJobs, await client.request("PUT", _PATH, json=body)).woken_jobs
    print_line(f"The credential is set. {woken} jobs waited for it and resume now.")


@partial(api_command, app, "show")
async def show_credential(client: ApiClient, as_json: AsJson = False) -> None:
    """Show whether a credential is set, when it expires, and how many jobs wait for one."""
    payload = await client.request("GET", _PATH)
    if as_json:
        print_json(payload)
        return
    from api.credentials.schemas import CredentialState

    print_line(describe(parse(CredentialState, payload)))


def describe(state: "CredentialState") -> str:
    """The state of the credential in one line."""
    if not state.is_set:
        parts = ["not set"]
    else:
        parts = ["set", "renewed automatically" if state.refreshable else "cannot be renewed"]
        if state.expires_at:
            parts.append(f"expires {state.expires_at.astimezone():%Y-%m-%d %H:%M}")
    if state.refused_since:
        parts.append(f"refused since {state.refused_since.astimezone():%Y-%m-%d %H:%M}")
    if state.waiting_jobs:
        parts.append(f"{state.waiting_jobs} jobs wait for a new one")
    return ", ".join(parts)
