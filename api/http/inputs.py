"""The parts of requests that several routes take: paths, queries, headers and bodies.

They are checked before anything else is done. FastAPI alone takes `0` for false and any number for
a time, which the description of an API does not say; `RequestBody` and `Timestamp` do not.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, Header, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict

from api import examples
from api.problems import INVALID_CASE_NUMBER, Problem
from autos.cnj import CaseNumber, InvalidCaseNumber

PREFIX: Final = "/api/v1"
"""Every path under it needs a key, except those of `SIGNED_RECEIVER`."""
SIGNED_RECEIVER: Final = f"{PREFIX}/webhooks/webhook-test-receiver/"
"""Paths that begin with it take a webhook's signature in place of a key."""
LONGEST_WAIT: Final = 60

_TIMESTAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


# ------------------------------------------------------------------ paths and queries


def parse(number: str) -> CaseNumber:
    """The case number.

    Raises:
        Problem: it is none; says why.
    """
    try:
        return CaseNumber.parse(number)
    except InvalidCaseNumber as error:
        raise Problem(INVALID_CASE_NUMBER, str(error)) from error


async def _case(
    number: Annotated[
        str, Path(description="The CNJ number, bare or masked", examples=[examples.NUMBER])
    ],
) -> CaseNumber:
    return parse(number)


Case = Annotated[CaseNumber, Depends(_case)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows a page")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the previous page, as it is")
]


def status_url(digits: str) -> str:
    """The address of a process's status."""
    return f"{PREFIX}/processes/{digits}/status"


# ------------------------------------------------------------------ headers


def wait_seconds(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most a minute; None without a preference."""
    match = _WAIT.search(prefer or "")
    return None if match is None else min(int(match[1]), LONGEST_WAIT)


def matches(if_none_match: str | None, etag: str) -> bool:
    """True if the client holds this version already (weak comparison, RFC 9110 §13.1.2)."""
    if if_none_match is None:
        return False
    held = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in held or etag.removeprefix("W/") in held


async def _wait(
    prefer: Annotated[
        str | None,
        Header(description="`wait=N`: answer at the end, or after N seconds (60 at most)"),
    ] = None,
) -> int | None:
    return wait_seconds(prefer)


Wait = Annotated[int | None, Depends(_wait)]


# ------------------------------------------------------------------ bodies


def timestamp(text: object) -> datetime:
    """The time of an RFC 3339 text, in UTC.

    Raises:
        ValueError: it is no such text, or is outside the years 1 to 9999 once in UTC.
    """
    if not isinstance(text, str) or not _TIMESTAMP.fullmatch(text):
        raise ValueError("give a date and time with its zone, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is outside the calendar") from None


def _whole(number: object) -> object:
    # JSON knows one kind of numbers: 1.0 is an integer.
    return int(number) if isinstance(number, float) and number.is_integer() else number


Timestamp: TypeAlias = Annotated[datetime, BeforeValidator(timestamp)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]


class RequestBody(BaseModel):
    """Base of request bodies: unknown members are refused, and no type stands in for another."""

    model_config = ConfigDict(extra="forbid", strict=True)
