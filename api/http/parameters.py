"""The parts of requests that several routes take: paths, queries and headers.

Those of bodies are in `api.schemas`, which does not need FastAPI.
"""

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Query

from api.schemas import NUMBER
from autos.cnj import CaseNumber

PREFIX: Final = "/api/v1"
"""Every path under it needs a key, except those of `SIGNED_RECEIVER`."""
SIGNED_RECEIVER: Final = f"{PREFIX}/webhooks/webhook-test-receiver/"
"""Paths that begin with it take a webhook's signature in place of a key."""
LONGEST_WAIT: Final = 60

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


# ------------------------------------------------------------------ paths and queries


async def _case(
    number: Annotated[str, Path(description="The CNJ number, bare or masked", examples=[NUMBER])],
) -> CaseNumber:
    return CaseNumber.parse(number)


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
