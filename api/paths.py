"""Parts of paths and queries that several routes take, checked before anything is asked (F38)."""

from typing import Annotated, Final

from fastapi import Depends, Path, Query

from api.problems import INVALID_CASE_NUMBER, Problem
from api.schemas import NUMBER
from autos.cnj import CaseNumber, InvalidCaseNumber

PREFIX: Final = "/api/v1"
"""Every path under it needs a key, but for those of `SIGNED_RECEIVER`."""
SIGNED_RECEIVER: Final = f"{PREFIX}/webhooks/webhook-test-receiver/"
"""What begins with it takes a webhook's signature in place of a key."""


def parse(number: str) -> CaseNumber:
    """The case number, or a problem that says what is wrong with it."""
    try:
        return CaseNumber.parse(number)
    except InvalidCaseNumber as error:
        # Our own sentence about the number's form; no exception of another's reaches the client.
        raise Problem(INVALID_CASE_NUMBER, str(error)) from error


async def _case(
    number: Annotated[str, Path(description="The CNJ number, bare or masked", examples=[NUMBER])],
) -> CaseNumber:
    return parse(number)


Case = Annotated[CaseNumber, Depends(_case)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows a page")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the previous page, as it is")
]


def status_url(digits: str) -> str:
    """Where a process's status is told."""
    return f"{PREFIX}/processes/{digits}/status"
