"""Connections to PostgreSQL: URL parameters, and bounded waits."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client

from api.app import create_app
from autos.cnj import CaseNumber
from autos.records import processes
from autos.records.database import Database, InvalidAddress, Server, is_outage
from autos.records.migrate import migrate
from autos.settings import DatabaseUnavailable, Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, path, problem
from tests.integration.database_proxy import DatabaseProxy

SECONDS = 25
_SHORT = {"database_connect_timeout": 0.5, "database_command_timeout": 0.5}


def settings(url: str, **given: float) -> Settings:
    return Settings.model_validate({"database_url": url, **_SHORT, **given})


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[DatabaseProxy]:
    async with DatabaseProxy(database_url).running() as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: DatabaseProxy) -> AsyncIterator[Database]:
    """The records, connected through the proxy."""
    database = Database.open(settings(proxy.url))
    yield database
    await database.close()


async def error_of(doing: Awaitable[object]) -> Exception:
    """The exception that it raises, in bounded time."""
    (result,) = await asyncio.wait_for(asyncio.gather(doing, return_exceptions=True), SECONDS)
    assert isinstance(result, Exception)
    return result


async def ask(database: Database, statement: str, **values: object) -> object:
    async with database.transaction() as session:
        return await session.scalar(text(statement), values)


@pytest.mark.parametrize("outage", ["swallow", "refuse"])
@pytest.mark.parametrize("connected", [True, False])
async def test_silent_database_is_an_outage_in_bounded_time(
    proxy: DatabaseProxy, proxied: Database, outage: str, connected: bool
) -> None:
    """(S19) With new and existing connections; they work again afterwards."""
    if connected:
        await ask(proxied, "SELECT 1")
    getattr(proxy, outage)()
    assert is_outage(await error_of(ask(proxied, "SELECT 1")))
    proxy.restore()
    async with asyncio.timeout(SECONDS):
        assert await ask(proxied, "SELECT 1") == 1


async def test_database_that_goes_silent_in_a_transaction_is_an_outage(
    proxy: DatabaseProxy, proxied: Database
) -> None:
    """(S19) Also during the commit."""

    async def write() -> None:
        async with proxied.transaction() as session:
            await session.execute(text("SELECT 1"))
            proxy.swallow()

    assert is_outage(await error_of(write()))
    proxy.restore()


async def test_api_returns_503_in_bounded_time_when_the_records_are_silent(
    proxy: DatabaseProxy,
    proxied: Database,
    temporal: Client,
    store: FakeStore,
    admin: dict[str, str],
    case: CaseNumber,
) -> None:
    """(S19) And works again when they respond."""
    app = create_app(Settings(admin_key=SecretStr(ADMIN_KEY)), opener(proxied, temporal, store))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://api", headers=admin
        ) as api,
    ):
        assert (await api.get(path(case, "/status"))).status_code == 404
        proxy.swallow()
        async with asyncio.timeout(SECONDS):
            answers = await asyncio.gather(*(api.get(path(case, "/status")) for _ in range(30)))
        for answer in answers:
            problem(answer, 503, "records-unavailable")
        proxy.restore()
        async with asyncio.timeout(SECONDS):
            assert (await api.get(path(case, "/status"))).status_code == 404


async def test_connection_closed_while_idle_is_not_used(
    database_url: str, database: Database
) -> None:
    """A restart of the server fails no later request."""
    own = Database.open(settings(database_url))
    ours = await ask(own, "SELECT pg_backend_pid()")
    await ask(database, "SELECT pg_terminate_backend(:pid)", pid=ours)
    async with asyncio.timeout(SECONDS):
        # The connection ends with a delay.
        while await ask(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = :p", p=ours):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    assert await ask(own, "SELECT 1") == 1
    await own.close()


async def test_idle_transaction_does_not_keep_its_locks(
    database_url: str, database: Database, case: CaseNumber
) -> None:
    """(S19) A frozen worker's locks are released, and its transaction fails as an outage."""
    frozen = Database.open(settings(database_url, database_idle_timeout=0.2))
    async with database.transaction() as session:
        await processes.ensure(session, case)

    async def stand_still() -> None:
        async with frozen.transaction() as session:
            lock = text("SELECT number FROM processes WHERE number = :number FOR UPDATE")
            await session.execute(lock, {"number": case.digits})
            async with asyncio.timeout(SECONDS), database.transaction() as other:
                await other.execute(lock, {"number": case.digits})
            await session.execute(text("SELECT 1"))

    assert is_outage(await error_of(stand_still()))
    await frozen.close()


async def test_deadlock_is_an_outage(database: Database) -> None:
    """(S16) It is retried: no document fails with `internal_error`."""
    both = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": first})
            await both.wait()
            await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": second})

    async with asyncio.timeout(SECONDS):
        ended = await asyncio.gather(lock(991, 992), lock(992, 991), return_exceptions=True)
    (error,) = [error for error in ended if error is not None]
    assert is_outage(error)


REFUSALS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "a value of the wrong type": lambda it: ask(it, "SELECT CAST(:n AS int)", n=2**40),
    "a NUL": lambda it: ask(it, "SELECT CAST(:t AS text)", t="\x00"),
    "an unknown table": lambda it: ask(it, "SELECT 1 FROM there_is_none"),
    "a division": lambda it: ask(it, "SELECT 1 / 0"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_statement_refused_by_the_database_is_no_outage(
    database: Database, what: str
) -> None:
    """(S16, S18) It would be refused again after a wait."""
    assert not is_outage(await error_of(REFUSALS[what](database)))


async def test_outages_are_recognised_by_their_class(database_url: str) -> None:
    """(S16, S18) Ended sessions, a standby, a wrong user or name, a pool without connections."""
    own = Database.open(settings(database_url, database_pool_size=1, database_pool_timeout=0.1))
    assert is_outage(await error_of(ask(own, "SELECT pg_terminate_backend(pg_backend_pid())")))

    async def write_to_a_standby() -> None:
        async with own.transaction() as session:
            await session.execute(text("SET TRANSACTION READ ONLY"))
            await session.execute(text("CREATE TABLE nothing ()"))

    assert is_outage(await error_of(write_to_a_standby()))
    async with own.engine.connect():
        assert is_outage(await error_of(ask(own, "SELECT 1")))
    await own.close()
    for wrong in (database_url.replace("postgres:@", "nobody:@"), database_url + "&dbname=none"):
        other = Database.open(settings(wrong.replace("/postgres?", "/none?")))
        assert is_outage(await error_of(ask(other, "SELECT 1")))
        await other.close()
    assert not is_outage(TimeoutError())
    assert not is_outage(OSError(28, "No space left on device"))


# ---------------------------------------------------------------------- the URL


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a new certificate in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "root.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "root.crt", folder / "key.pem")
    return context


async def test_url_accepts_libpqs_tls_parameters(database_url: str, tmp_path: Path) -> None:
    """(S27) `require` encrypts, `verify-full` verifies the server; migrations do the same."""
    other = tmp_path / "other"
    other.mkdir()
    certificate(other)
    async with DatabaseProxy(database_url, certificate(tmp_path)).running() as proxy:
        address = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode="
        for good in ("require", f"verify-full&sslrootcert={tmp_path / 'root.crt'}"):
            database = Database.open(settings(address + good))
            assert await ask(database, "SELECT 1") == 1
            await database.close()
            await migrate(address + good)
        bad = f"{address}verify-full&sslrootcert={other / 'root.crt'}"
        database = Database.open(settings(bad))
        assert is_outage(await error_of(ask(database, "SELECT 1")))
        await database.close()
        with pytest.raises(DatabaseUnavailable):
            await migrate(bad)


async def test_url_accepts_libpqs_other_parameters(database_url: str) -> None:
    """(S27) Session settings are applied; parameters that only concern libpq are ignored."""
    given = (
        "&application_name=a%20name&options=-c%20statement_timeout%3D4321"
        "&connect_timeout=3&target_session_attrs=read-write&channel_binding=prefer&keepalives=1"
    )
    for url in (database_url + given, (database_url + given).replace("sql:", "sql+asyncpg:", 1)):
        assert Server.at(url).connect_timeout == 3
        database = Database.open(settings(url))
        assert await ask(database, "SHOW application_name") == "a name"
        assert await ask(database, "SHOW statement_timeout") == "4321ms"
        assert await ask(database, "SHOW idle_in_transaction_session_timeout") == "1min"
        await database.close()


@pytest.mark.parametrize(
    "url", ["", "localhost/autos", "mysql://host/name", "postgresql://h/n?connect_timeout=soon"]
)
async def test_invalid_url_is_reported(url: str) -> None:
    """(S27) At once, not as an error of the driver."""
    with pytest.raises(InvalidAddress):
        Server.at(url)
    with pytest.raises(DatabaseUnavailable, match="is not an address"):
        await migrate(url)


def test_password_may_contain_reserved_characters() -> None:
    assert Server.at("postgresql://u:p#a%40ss@host/name").dsn == (
        "postgresql://u:p%23a%40ss@host/name"
    )
