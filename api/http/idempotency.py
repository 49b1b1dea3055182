"""`Idempotency-Key`: a request that is repeated within a day gets the first one's answer.

Only successful answers are kept. A failed request releases its key and may be repeated.
"""

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import Header
from fastapi.responses import JSONResponse

from api.http.auth import Caller
from api.problems import (
    IDEMPOTENCY_KEY_IN_USE,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_IDEMPOTENCY_KEY,
    Problem,
)
from autos.records import idempotency
from autos.records.database import Database, is_outage
from autos.records.models import IdempotencyKey

RENEWAL_SECONDS: Final = idempotency.CLAIM_TIMEOUT.total_seconds() / 4
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS: Final = ("location", "retry-after", "preference-applied")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any unique text: a repetition within 24 h gets the same answer",
        examples=["5b9b7c0e-6c0a-4f6e-9a53-3f1b0a4d0c11"],
    ),
]


async def once(
    database: Database,
    caller: Caller,
    key: str | None,
    content: Sequence[Any],
    run: Callable[[uuid.UUID | None], Awaitable[JSONResponse]],
) -> JSONResponse:
    """Run the request, or give the answer it got the first time.

    Args:
        database: keeps keys and answers.
        caller: keys of different callers never meet.
        key: None for a request that is not to be repeated.
        content: all inputs of the request, which a repetition must match.
        run: does the work. It gets an id that is the same for all repetitions (None without a key):
            a crash may come between the work and its kept answer, and the repetition, which then
            runs again, finds by the id what the first one made.

    Raises:
        Problem: the key is malformed, belongs to another request, or its first request still runs.
    """
    if key is None:
        return await run(None)
    if not _KEY.fullmatch(key):
        raise Problem(INVALID_IDEMPOTENCY_KEY)
    text = json.dumps(content, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    async with database.transaction() as session:
        earlier = await idempotency.claim(
            session, api_key_id=caller.id, key=key, fingerprint=fingerprint
        )
    if earlier is not None:
        return _repeated(earlier, fingerprint)
    renewing = asyncio.create_task(_renew(database, caller, key))
    try:
        response = await run(uuid.uuid5(caller.id, f"{fingerprint}/{key}"))
    except BaseException:
        async with database.transaction() as session:
            await idempotency.release(session, api_key_id=caller.id, key=key)
        raise
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    async with database.transaction() as session:
        await idempotency.answer(
            session,
            api_key_id=caller.id,
            key=key,
            status_code=response.status_code,
            answer={"body": json.loads(bytes(response.body)), "headers": headers},
        )
    return response


def _repeated(earlier: IdempotencyKey, fingerprint: str) -> JSONResponse:
    """The answer that the first request with the key got."""
    if earlier.fingerprint != fingerprint:
        raise Problem(IDEMPOTENCY_KEY_REUSED)
    if earlier.status_code is None or earlier.answer is None:
        raise Problem(IDEMPOTENCY_KEY_IN_USE, headers={"Retry-After": "1"})
    kept = earlier.answer
    return JSONResponse(kept["body"], earlier.status_code, kept["headers"])


async def _renew(database: Database, caller: Caller, key: str) -> None:
    """Keep the claim: a request that waits for a job's end runs longer than a claim lasts."""
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        try:
            async with database.transaction() as session:
                await idempotency.renew(session, api_key_id=caller.id, key=key)
        except Exception as error:
            if not is_outage(error):
                raise
