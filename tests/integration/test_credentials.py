"""The stored credential: encrypted, rotated once, and replaced by a changed setting."""

import uuid
from dataclasses import replace
from datetime import datetime

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from autos.records.credentials import DatabaseCredentialStore
from autos.records.database import Database
from autos.records.models import StoredCredential, now
from autos.settings import Settings
from autos.source import Credential
from autos.vault import DecryptionFailed


def settings(token: str, secret_key: str = "k" * 32) -> Settings:
    return Settings(
        pdpj_token=SecretStr(token),
        pdpj_refresh_token=SecretStr("refresh-1"),
        secret_key=SecretStr(secret_key),
    )


@pytest.fixture
async def token(database: Database) -> str:
    """A unique token; the table has no credential."""
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))
    return f"synthetic-{uuid.uuid4()}"


async def test_concurrent_refreshes_store_one_credential(database: Database, token: str) -> None:
    first, second = (DatabaseCredentialStore(database, settings(token)) for _ in range(2))
    old = await first.load()
    assert old == Credential(token, "refresh-1")
    new = Credential("rotated", "refresh-2")
    assert await first.replace(old, new)
    assert not await second.replace(old, Credential("too late", "refresh-3"))
    assert await second.load() == new


async def test_row_is_encrypted_and_opens_with_its_key_only(database: Database, token: str) -> None:
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    assert await store.replace(old, Credential("rotated-secret", "refresh-2"))
    async with database.transaction() as session:
        row = (await session.scalars(select(StoredCredential))).one()
    assert b"rotated-secret" not in row.secret
    with pytest.raises(DecryptionFailed):
        await DatabaseCredentialStore(database, settings(token, "other" * 8)).load()


async def test_changed_setting_replaces_the_row(database: Database, token: str) -> None:
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    assert await store.replace(old, Credential("rotated", "refresh-2"))
    changed = DatabaseCredentialStore(database, settings("operator-set-a-new-one"))
    assert await changed.load() == Credential("operator-set-a-new-one", "refresh-1")


async def test_refusal_is_recorded_until_the_first_success(database: Database, token: str) -> None:
    """(S34) Also for the settings' credential, which has no row; the first time is kept."""
    store = DatabaseCredentialStore(database, settings(token))
    other = DatabaseCredentialStore(database, settings(token))
    await store.note("another token", refused=True)
    assert await refused_since(store) is None
    await store.note(token, refused=True)
    first = await refused_since(store)
    assert first is not None
    await other.note(token, refused=True)
    assert await refused_since(other) == first
    await other.note(token, refused=False)
    assert await refused_since(store) is None


async def test_refusal_survives_a_refresh_and_ends_with_a_new_credential(
    database: Database, token: str
) -> None:
    """(S34) A refreshed token is not accepted yet; one that an operator sets is new."""
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    await store.note(token, refused=True)
    assert await store.replace(old, Credential("fresh", "refresh-2", after_refusal=True))
    since = await refused_since(store)
    assert since is not None
    stored = await store.load()
    assert stored is not None
    assert stored.after_refusal
    await store.note("fresh", refused=False)
    stored = await store.load()
    assert stored == Credential("fresh", "refresh-2")
    assert (stored.after_refusal, stored.refused_since) == (False, None)
    await store.note("fresh", refused=True)
    await store.put(Credential("of a person"))
    assert await refused_since(store) is None
    # A changed setting is another credential, too.
    await store.note("of a person", refused=True)
    changed = DatabaseCredentialStore(database, settings("operator-set-a-new-one"))
    assert await refused_since(changed) is None


async def test_success_recorded_during_a_refresh_keeps_the_new_token(
    database: Database, token: str
) -> None:
    """(S3) Refresh tokens rotate: one that is not stored is lost."""
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    unproven = Credential("t2", "refresh-2", after_refusal=True)
    assert await store.replace(old, unproven)
    claimed = replace(unproven, claimed_until=now())
    assert await store.replace(unproven, claimed)
    await store.note("t2", refused=False)
    assert await store.replace(claimed, Credential("t3", "refresh-3"))
    assert await store.load() == Credential("t3", "refresh-3")


async def test_white_space_around_the_settings_token_is_ignored(
    database: Database, token: str
) -> None:
    """(S39) Editors and `echo` add it to files."""
    store = DatabaseCredentialStore(database, settings(f" {token}\r\n"))
    assert await store.load() == Credential(token, "refresh-1")
    await store.put(Credential("stored"))
    same = DatabaseCredentialStore(database, settings(token))
    assert await same.load() == Credential("stored")


async def refused_since(store: DatabaseCredentialStore) -> datetime | None:
    """Since when the current credential is refused."""
    credential = await store.load()
    assert credential is not None
    return credential.refused_since
