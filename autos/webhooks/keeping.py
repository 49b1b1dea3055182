"""Reads an API key's signing secrets, and makes the first one when it is needed.

A key that never asked for a secret still gets signed webhooks: its secret is made with the first
one, and told when its owner asks for it.
"""

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from autos.records import api_keys
from autos.records.models import now
from autos.vault import Vault
from autos.webhooks.secrets import Scheme, Secrets


async def secrets_of(session: AsyncSession, api_key_id: uuid.UUID, vault: Vault) -> Secrets:
    """The secrets of a key, at least one of them symmetric."""
    secrets = Secrets.load(await api_keys.webhook_secrets(session, api_key_id))
    if secrets.current(Scheme.SYMMETRIC) is not None:
        return secrets
    row = await api_keys.lock(session, api_key_id)
    secrets = Secrets.load(row.webhook_secrets)
    # Somebody else may have made it while the row was waited for.
    if secrets.current(Scheme.SYMMETRIC) is None:
        secrets = secrets.with_new(Scheme.SYMMETRIC, vault, now())
        row.webhook_secrets = secrets.stored()
    return secrets
