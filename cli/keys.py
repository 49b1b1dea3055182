"""`autos keys`: creates, lists and revokes API keys (needs an admin key)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from api.api_keys.schemas import ApiKey, CreatedApiKey
from cli.client import ApiClient, Json, parse
from cli.command import AsJson, api_command
from cli.terminal import console, new_table, print_json, print_line, print_note

app = typer.Typer(help="API keys (needs an admin key).", no_args_is_help=True)


class Role(StrEnum):
    """What a key may do."""

    CLIENT = "client"
    ADMIN = "admin"


@partial(api_command, app, "create")
async def create_key(
    client: ApiClient,
    name: Annotated[str, typer.Argument(help="Who or what will use the key.")],
    role: Annotated[Role, typer.Option(help="What the key may do.")] = Role.CLIENT,
    expires_days: Annotated[
        int | None, typer.Option(min=1, help="Days until the key expires.")
    ] = None,
) -> None:
    """Create a key and print it. It cannot be shown again."""
    body: Json = {"name": name, "role": role.value}
    if expires_days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=expires_days)).isoformat()
    created = parse(CreatedApiKey, await client.request("POST", "/api-keys", json=body))
    print_note(
        f"Created key {created.id} for {created.name} ({created.role}). Store it now: it is not "
        "shown again."
    )
    # Standard output holds only the key.
    print_line(created.key)


@partial(api_command, app, "list")
async def list_keys(client: ApiClient, as_json: AsJson = False) -> None:
    """List all keys. The secret part of a key is not shown."""
    found = [key async for key in client.items("/api-keys")]
    if as_json:
        print_json(found)
    else:
        console.print(keys_table(parse(ApiKey, key) for key in found))


@partial(api_command, app, "revoke")
async def revoke_key(
    client: ApiClient, key_id: Annotated[str, typer.Argument(help="The id in the list.")]
) -> None:
    """Revoke a key."""
    await client.send("DELETE", f"/api-keys/{key_id}")
    print_line(f"Key {key_id} is revoked.")


def keys_table(keys: Iterable[ApiKey]) -> Table:
    """A table with a row for each key."""
    table = new_table("id")
    for column in ("name", "role", "key", "created", "expires", "revoked"):
        table.add_column(column)
    for key in keys:
        times = (key.created_at, key.expires_at, key.revoked_at)
        table.add_row(
            str(key.id),
            Text(key.name),
            key.role,
            f"{key.prefix}…",
            *(f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times),
        )
    return table
