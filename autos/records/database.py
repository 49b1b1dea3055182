"""Connections to PostgreSQL: the address, the pool, and which errors mean an outage.

The driver reads the address as libpq does (`sslmode`, `sslrootcert`, several hosts, `passfile`, …);
a parameter that it does not know is sent to the server as a setting of the session. Every wait has
a time-out. TCP keepalives let the server free the locks of a disconnected machine within half a
minute. A pooled connection that the server closed while it was idle is replaced before use.

Parameters of libpq that only tune its sockets (`_IGNORED`) have no effect.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog
from sqlalchemy import Select, event, func, select, text, tuple_
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import InstrumentedAttribute

from autos.settings import Settings

Column = InstrumentedAttribute[Any]
_Query = TypeVar("_Query", bound=Select[*tuple[Any, ...]])

log = structlog.get_logger(__name__)

APPLICATION_NAME: Final = "autos"
"""Shown in the server's list of sessions (`pg_stat_activity`)."""
_DEDICATED_TIMEOUT: Final = 5.0
"""Seconds for a statement on a connection outside the pool."""
_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg")
_IGNORED: Final = frozenset(
    {
        "channel_binding",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
_KEEPALIVE: Final = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_OUTAGES: Final = (
    "08",  # connection exception
    "25006",  # a standby: the connection points at a server that is not the primary (any more)
    "25P03",  # the session was idle inside a transaction for too long
    "28",  # the server does not accept the user or the password
    "3D",  # the server does not have the database
    "40",  # rolled back in favour of another transaction, such as by a deadlock
    "53",  # out of memory, disk or connections
    "57",  # shutdown, crash, or an operator ended the session or the statement
    "58",  # an error of the server's own disk
)
"""SQLSTATEs, or their prefixes (PostgreSQL manual, appendix A)."""


class DatabaseUnreachable(ConnectionError):
    """PostgreSQL did not answer within its time-out, or no connection to it could be made."""


class InvalidAddress(ValueError):
    """The text is not an address of a PostgreSQL database."""


def is_outage(error: BaseException) -> bool:
    """True if PostgreSQL could not be reached, False if it rejected a statement.

    Decided by class and SQLSTATE only. An `OSError` or `TimeoutError` from elsewhere is not an
    outage: this module raises those of the driver as `DatabaseUnreachable`.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (
            error.orig is not None and is_outage(error.driver_exception)
        )
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_OUTAGES)
    return isinstance(
        error, DatabaseUnreachable | PoolTimeout | asyncpg.TargetServerAttributeNotMatched
    )


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a PostgreSQL server, and the time-outs of its connections."""

    dsn: str
    connect_timeout: float
    """Seconds."""
    command_timeout: float | None
    """Seconds for one statement; None for no limit."""
    session: Mapping[str, str]
    """Server settings of every session."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The server of `AUTOS_DATABASE_URL` with the time-outs of the settings.

        Raises:
            InvalidAddress: the setting is not an address.
        """
        idle = round(settings.database_idle_timeout * 1000)
        return cls.at(
            settings.database_url,
            connect_timeout=settings.database_connect_timeout,
            command_timeout=settings.database_command_timeout,
            session={"idle_in_transaction_session_timeout": str(idle)},
        )

    @classmethod
    def at(
        cls,
        url: str,
        *,
        connect_timeout: float = 10.0,
        command_timeout: float | None = None,
        session: Mapping[str, str] | None = None,
    ) -> Self:
        """The server at an address; parameters of the address override the arguments.

        Raises:
            InvalidAddress: the text is not an address.
        """
        try:
            # An address has no fragment, so a password may contain an unescaped "#".
            scheme, place, path, query, _ = urlsplit(url.replace("#", "%23"))
            given = dict(parse_qsl(query, strict_parsing=True) if query else [])
            connect_timeout = float(given.pop("connect_timeout", 0)) or connect_timeout
        except ValueError as error:
            raise InvalidAddress("The address cannot be read") from error
        if scheme not in _SCHEMES:
            raise InvalidAddress("The address does not begin with postgresql://")
        if ignored := sorted(given.keys() & _IGNORED):
            log.warning("database_url_parameters_ignored", parameters=ignored)
        known = {name: value for name, value in given.items() if name not in _IGNORED}
        ours = {"application_name": APPLICATION_NAME, **_KEEPALIVE, **(session or {})}
        return cls(
            dsn=urlunsplit(("postgresql", place, path, urlencode(known), "")),
            connect_timeout=connect_timeout,
            command_timeout=command_timeout,
            session={name: value for name, value in ours.items() if name not in known},
        )

    async def connect(
        self, *, name: str = APPLICATION_NAME, command_timeout: float | None = None
    ) -> asyncpg.Connection:
        """Open one connection.

        Args:
            name: the session's application name, unless the address sets one.
            command_timeout: seconds; overrides the server's own.

        Raises:
            DatabaseUnreachable: there is no server, it does not answer, or TLS fails.
            asyncpg.PostgresError: the server rejects the connection.
        """
        session = dict(self.session)
        if "application_name" in session:
            session["application_name"] = name
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=self.connect_timeout,
                command_timeout=command_timeout or self.command_timeout,
                server_settings=session,
            )
        except (
            OSError,
            TimeoutError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            raise DatabaseUnreachable(
                f"No connection to PostgreSQL could be made ({type(error).__name__})"
            ) from error

    def engine(self, **pool: Any) -> AsyncEngine:
        """An engine whose connections are made by `connect`; `pool` is passed to SQLAlchemy."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            # Webhook URLs and names are parameters; an error must not carry them into a log.
            hide_parameters=True,
            **pool,
        )
        event.listen(engine.sync_engine, "handle_error", _invalidate_unanswered)
        event.listen(engine.sync_engine, "checkout", _replace_closed)
        return engine


class Transactions(Protocol):
    """Opens sessions: a `Database`, or a wrapper of one."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session in a transaction."""
        ...


class Database:
    """A pool of connections to PostgreSQL, one per process."""

    def __init__(self, server: Server, engine: AsyncEngine) -> None:
        self._server = server
        self.engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the pool of `AUTOS_DATABASE_URL`; connects on first use.

        Raises:
            InvalidAddress: the setting is not an address.
        """
        server = Server.of(settings)
        return cls(
            server,
            server.engine(
                pool_size=settings.database_pool_size,
                max_overflow=0,
                pool_timeout=settings.database_pool_timeout,
                pool_recycle=1800,
            ),
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction: committed at the end, rolled back on any exception.

        Raises what SQLAlchemy raises, and `DatabaseUnreachable`; see `is_outage`.
        """
        async with self._sessions.begin() as session:
            yield session

    async def connect(self, purpose: str) -> asyncpg.Connection:
        """A connection outside the pool, for locks and notifications, which need one that lasts.

        The `purpose` is part of its application name.

        Raises:
            DatabaseUnreachable: there is no server, or it does not answer.
            asyncpg.PostgresError: the server rejects the connection.
        """
        return await self._server.connect(
            name=f"{APPLICATION_NAME} {purpose}", command_timeout=_DEDICATED_TIMEOUT
        )

    async def ready(self) -> None:
        """Run a trivial query; raises what the driver raises when the server is away."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def keyset(
    query: _Query,
    key: Sequence[Column],
    edge: tuple[Any, ...] | None,
    limit: int,
    *,
    newest_first: bool = False,
) -> _Query:
    """One page of a query.

    Args:
        query: without an order.
        key: unique columns that order the rows, ascending unless `newest_first`.
        edge: the key of the last row of the page before; None for the first page.
        limit: rows of a page.
        newest_first: descending instead.
    """
    place = tuple_(*key)
    if edge is not None:
        query = query.where(place < edge if newest_first else place > edge)
    return query.order_by(*(one.desc() if newest_first else one for one in key)).limit(limit)


async def clock(session: AsyncSession) -> datetime:
    """The database server's time."""
    moment: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return moment


def _invalidate_unanswered(context: ExceptionContext) -> Exception | None:
    """Drop the connection of a statement that was not answered in time."""
    error = context.original_exception
    if not isinstance(error, OSError | TimeoutError):
        return None
    context.is_disconnect = True
    return DatabaseUnreachable(f"PostgreSQL did not answer ({type(error).__name__})")


def _replace_closed(connection: Any, *_: object) -> None:
    """Have the pool replace a connection that the server closed while it was idle."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
