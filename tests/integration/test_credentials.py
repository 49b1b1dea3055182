"""The stored credential: sealed, rotated by one winner, and overruled by a changed setting."""

import uuid

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from autos.records.credentials import DatabaseCredentialStore
from autos.records.database import Database
from autos.records.models import StoredCredential
from autos.settings import Settings
from autos.source import Credential
from autos.vault import SealBroken


def settings(token: str, secret_key: str = "k" * 32) -> Settings:
    return Settings(
        pdpj_token=SecretStr(token),
        pdpj_refresh_token=SecretStr("refresh-1"),
        secret_key=SecretStr(secret_key),
    )


@pytest.fixture
async def token(database: Database) -> str:
    """A token of this test's own, on a table without a credential."""
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM credentials"))
    return f"synthetic-{uuid.uuid4()}"


async def test_of_two_refreshers_one_wins_and_both_see_its_credential(
    database: Database, token: str
) -> None:
    first, second = (DatabaseCredentialStore(database, settings(token)) for _ in range(2))
    old = await first.load()
    assert old == Credential(token, "refresh-1")
    new = Credential("rotated", "refresh-2")
    assert await first.replace(old, new)
    assert not await second.replace(old, Credential("too late", "refresh-3"))
    assert await second.load() == new


async def test_the_row_shows_no_secret_and_opens_with_its_key_only(
    database: Database, token: str
) -> None:
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    assert await store.replace(old, Credential("rotated-secret", "refresh-2"))
    async with database.transaction() as session:
        row = (await session.scalars(select(StoredCredential))).one()
    assert b"rotated-secret" not in row.secret
    with pytest.raises(SealBroken):
        await DatabaseCredentialStore(database, settings(token, "other" * 8)).load()


async def test_a_changed_setting_is_newer_than_the_row(database: Database, token: str) -> None:
    store = DatabaseCredentialStore(database, settings(token))
    old = await store.load()
    assert old is not None
    assert await store.replace(old, Credential("rotated", "refresh-2"))
    changed = DatabaseCredentialStore(database, settings("operator-set-a-new-one"))
    assert await changed.load() == Credential("operator-set-a-new-one", "refresh-1")
