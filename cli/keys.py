"""`autos keys`: make, list and revoke API keys, as an administrator."""

from datetime import UTC, datetime, timedelta

from cli.client import open_client
from cli.connection import Connection
from cli.tables import keys_table
from cli.terminal import console, errors


async def create(connection: Connection, name: str, role: str, expires_days: int | None) -> int:
    """Make a key and tell it, this once. Standard output holds nothing but the key."""
    expires_at = None
    if expires_days is not None:
        expires_at = datetime.now(UTC) + timedelta(days=expires_days)
    async with open_client(connection) as client:
        made = await client.create_key(name, role, expires_at)
    errors.print(
        f"Key {made.id} for {made.name} ({made.role}). Keep it now: it is not told again.",
        markup=False,
        soft_wrap=True,
    )
    console.print(made.key, markup=False, soft_wrap=True)
    return 0


async def listing(connection: Connection) -> int:
    """Show all keys."""
    async with open_client(connection) as client:
        console.print(keys_table(await client.keys()))
    return 0


async def revoke(connection: Connection, key_id: str) -> int:
    """Revoke a key."""
    async with open_client(connection) as client:
        await client.revoke_key(key_id)
    console.print(f"Key {key_id} is revoked.", markup=False)
    return 0
