"""What a request asks for beside its content: `Prefer: wait=N` (RFC 7240) and `If-None-Match`."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header

LONGEST_WAIT: Final = 60
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


def wait_seconds(prefer: str | None) -> int | None:
    """The seconds a client is ready to wait, at most a minute; None if it does not say."""
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
