"""`autos keys`: make, list and revoke API keys, as an administrator."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from cli.client import open_client
from cli.connection import Connection, find_connection
from cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, Key, Url
from cli.tables import keys_table
from cli.terminal import console, errors, print_json, run, say, sentences

app = typer.Typer(help="API keys (needs an admin key).", no_args_is_help=True)


class Role(StrEnum):
    """What a key may do."""

    CLIENT = "client"
    ADMIN = "admin"


@app.command("create")
def create_command(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.CLIENT,
    expires_days: Annotated[int | None, typer.Option(min=1, help="Days it lives.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a key and print it, this once."""
    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(create(connection, name, role.value, expires_days)))


@app.command("list")
def list_command(
    as_json: AsJson = False, url: Url = None, key: Key = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """List all keys, without the keys themselves."""
    with sentences():
        connection = find_connection(url, key, data_dir)
        raise typer.Exit(run(listing(connection, as_json=as_json)))


@app.command("revoke")
def revoke_command(
    key_id: Annotated[str, typer.Argument(help="The id that the list shows.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revoke a key."""
    with sentences():
        raise typer.Exit(run(revoke(find_connection(url, key, data_dir), key_id)))


async def create(connection: Connection, name: str, role: str, expires_days: int | None) -> int:
    """Make a key and print it. Standard output holds nothing but the key."""
    expires_at = None
    if expires_days is not None:
        expires_at = datetime.now(UTC) + timedelta(days=expires_days)
    async with open_client(connection) as client:
        made = await client.create_key(name, role, expires_at)
    errors.print(
        f"Key {made.id} for {made.name} ({made.role}). Keep it now: it is not shown again.",
        markup=False,
        soft_wrap=True,
    )
    say(made.key)
    return 0


async def listing(connection: Connection, *, as_json: bool) -> int:
    """Show all keys."""
    async with open_client(connection) as client:
        found = [key async for key in client.api_keys()]
    if as_json:
        print_json([key.as_sent() for key in found])
    else:
        console.print(keys_table(found))
    return 0


async def revoke(connection: Connection, key_id: str) -> int:
    """Revoke a key."""
    async with open_client(connection) as client:
        await client.revoke_key(key_id)
    say(f"Key {key_id} is revoked.")
    return 0
