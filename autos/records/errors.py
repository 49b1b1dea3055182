"""Which errors mean that PostgreSQL is away, as opposed to a question that it refuses."""

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_OUTAGES: Final = (
    "08",  # connection exception
    "25006",  # a standby: the connection points at a server that is not the primary (any more)
    "25P03",  # the session stood still inside a transaction and was ended
    "28",  # the server does not accept the user or the password
    "3D",  # the server does not have the database
    "40",  # rolled back in favour of another transaction, such as by a deadlock
    "53",  # out of memory, disk or connections
    "57",  # shutdown, crash, or an operator ended the session or the statement
    "58",  # an error of the server's own disk
)
"""SQLSTATEs, or the beginnings of them."""


class DatabaseUnreachable(ConnectionError):
    """PostgreSQL did not answer within its time, or no connection to it could be made."""


def is_outage(error: BaseException) -> bool:
    """True if the records could not be reached, False if they refused what was asked.

    Decided by class and SQLSTATE only. An `OSError` or a `TimeoutError` is not an outage by
    itself: `autos.records.database` raises those of the driver as `DatabaseUnreachable`.
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
