"""The number of statements and signatures of one status request."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import event
from temporalio.client import Client

from api.app import create_app
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.database import Database
from autos.settings import Settings
from autos.store import Store
from autos.store.signing import UrlSigner
from tests.integration.api_parts import ADMIN_KEY, opener, path, write_job, write_rows
from tests.unit.store.conftest import UNUSED_HTTP


@contextmanager
def counted_statements(database: Database) -> Iterator[list[str]]:
    """Collects every statement sent to the database."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@contextmanager
def counted_signatures() -> Iterator[list[str]]:
    """Collects every newly signed link."""
    signed: list[str] = []
    url = UrlSigner.url

    def note(signer: UrlSigner, *arguments: Any, **options: Any) -> str:
        link = url(signer, *arguments, **options)
        signed.append(link)
        return link

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UrlSigner, "url", note)
        yield signed


async def test_status_of_a_thousand_documents_costs_as_much_as_of_ten(
    database: Database, temporal: Client, case: CaseNumber, admin: dict[str, str]
) -> None:
    """F44: as few statements, and no link is signed twice."""
    store = Store(
        Settings(
            s3_endpoint="http://s3.example",
            s3_bucket="autos",
            s3_access_key_id="AKID",
            s3_secret_access_key=SecretStr("secret"),
        ),
        UNUSED_HTTP,
        now=lambda: 0.0,
    )
    app = create_app(Settings(admin_key=SecretStr(ADMIN_KEY)), opener(database, temporal, store))
    few = CaseNumber.build(9_997_501, 2024, 8, 26, 100)
    for one, states in ((few, "a" * 10), (case, "a" * 1000)):
        await write_rows(database, one, states)
        await write_job(database, one, JobStatus.COMPLETED)
    costs: dict[str, int] = {}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://api", headers=admin
        ) as api,
    ):
        with counted_statements(database) as statements, counted_signatures() as signatures:
            for name, one in (("few", few), ("first", case), ("again", case)):
                statements.clear()
                answer = (await api.get(path(one, "/status"))).json()
                costs[name] = len(statements)
                assert len({row["download_url"] for row in answer["documents"]}) == (
                    10 if one is few else 1000
                )
    # The first request also looks up the caller's key.
    assert costs["again"] == costs["first"] <= costs["few"] <= 8
    assert len(signatures) == 1010
