"""The source's credential, stored encrypted and replaced by one refresher at a time.

The row is locked while it is compared and replaced, so one of several refreshers wins and the
others use what it stored. The settings' token is used until another one is stored; a token that is
*changed* in the settings replaces the stored one. The time of the source's first refusal is stored
unencrypted beside it.
"""

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from autos.records.database import Transactions
from autos.records.models import StoredCredential, now
from autos.settings import Settings
from autos.source import Credential
from autos.vault import Vault

_NAME: Final = "pdpj"


class DatabaseCredentialStore:
    """A `CredentialStore` shared by all processes that use the database."""

    def __init__(self, database: Transactions, settings: Settings) -> None:
        self._database = database
        self._vault = Vault(settings.secret_key)
        self._initial = Credential.of(settings)
        # Stored with the credential, to notice that the setting has changed since.
        tokens = (settings.pdpj_token, settings.pdpj_refresh_token)
        seed = " ".join(token.get_secret_value().strip() for token in tokens)
        self._seed = hashlib.sha256(seed.encode(errors="backslashreplace")).hexdigest()

    async def load(self) -> Credential | None:
        """Return the stored credential, else the one of the settings.

        Raises:
            DecryptionFailed: `AUTOS_SECRET_KEY` is not the key that encrypted it.
        """
        async with self._database.transaction() as session:
            row = await session.scalar(select(StoredCredential).filter_by(name=_NAME))
        return self._present(row)

    async def replace(self, old: Credential, new: Credential) -> bool:
        """Replace `old` by `new`; False, and no change, if `old` is no longer stored.

        A refusal stands until the source has accepted the new one.
        """
        async with self._database.transaction() as session:
            row = await self._locked(session)
            present = self._present(row)
            if present != old:
                return False
            self._write(row, new)
            row.refused_at = present.refused_since
        return True

    async def put(self, credential: Credential) -> None:
        """Store a new credential unconditionally."""
        async with self._database.transaction() as session:
            row = await self._locked(session)
            self._write(row, credential)
            row.refused_at = None

    async def note(self, token: str, *, refused: bool) -> None:
        """Record that the source refuses this access token, or accepts it again.

        Nothing changes if another one is stored. A refusal keeps the time of its first report.
        """
        async with self._database.transaction() as session:
            row = await self._locked(session)
            present = self._present(row)
            if present is None or present.access_token != token:
                return
            self._write(row, present if refused else replace(present, after_refusal=False))
            row.refused_at = (present.refused_since or now()) if refused else None

    async def _locked(self, session: AsyncSession) -> StoredCredential:
        await session.execute(
            insert(StoredCredential)
            .values(name=_NAME, secret=b"", version=0)
            .on_conflict_do_nothing()
        )
        query = select(StoredCredential).filter_by(name=_NAME).with_for_update()
        return (await session.scalars(query)).one()

    def _write(self, row: StoredCredential, credential: Credential) -> None:
        claimed = credential.claimed_until
        values = {
            "access_token": credential.access_token,
            "refresh_token": credential.refresh_token,
            "claimed_until": claimed.isoformat() if claimed else None,
            "after_refusal": credential.after_refusal,
            "seed": self._seed,
        }
        row.secret = self._vault.seal(json.dumps(values))
        row.version += 1
        row.expires_at = credential.expires_at
        row.updated_at = now()

    def _present(self, row: StoredCredential | None) -> Credential | None:
        if row is None or not row.secret:
            return self._initial
        values = json.loads(self._vault.open(row.secret))
        if values["seed"] != self._seed:
            return self._initial
        claimed = values["claimed_until"]
        return Credential(
            access_token=values["access_token"],
            refresh_token=values["refresh_token"],
            claimed_until=datetime.fromisoformat(claimed) if claimed else None,
            after_refusal=values.get("after_refusal", False),
            refused_since=row.refused_at,
        )
