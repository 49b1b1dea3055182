"""`Idempotency-Key`: a request that is repeated gets the first one's answer, for a day.

Only good answers are kept. A request that failed gives its key back, so that it may be repeated.
"""

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

from fastapi import Header
from fastapi.responses import JSONResponse

from api.http.api_keys import Caller
from api.problems import (
    IDEMPOTENCY_KEY_IN_USE,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_IDEMPOTENCY_KEY,
    Problem,
)
from api.records import Records
from autos.records import idempotency

RENEWAL_SECONDS: Final = idempotency.CLAIM_TIMEOUT.total_seconds() / 4
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any unique text: a repetition within 24 h gets the same answer",
        examples=["5b9b7c0e-6c0a-4f6e-9a53-3f1b0a4d0c11"],
    ),
]


def fingerprint(*parts: Any) -> str:
    """What a request asks for, as one hash."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(caller: Caller, key: str | None, request_fingerprint: str) -> uuid.UUID | None:
    """An id for what the request makes, the same for its repetitions; None without a key.

    A crash may come between what a request does and its kept answer. Its repetition then does it
    once more, and must not make it a second time.
    """
    if key is None:
        return None
    return uuid.uuid5(caller.id, f"{request_fingerprint}/{key}")


async def once(
    records: Records,
    caller: Caller,
    key: str | None,
    request_fingerprint: str,
    run: Callable[[], Awaitable[JSONResponse]],
) -> JSONResponse:
    """Run the request, or give the answer it got the first time."""
    if key is None:
        return await run()
    if not _KEY.fullmatch(key):
        raise Problem(INVALID_IDEMPOTENCY_KEY)
    async with records.transaction() as session:
        earlier = await idempotency.claim(
            session, api_key_id=caller.id, key=key, fingerprint=request_fingerprint
        )
    if earlier is not None:
        if earlier.fingerprint != request_fingerprint:
            raise Problem(IDEMPOTENCY_KEY_REUSED)
        if earlier.status_code is None or earlier.answer is None:
            raise Problem(IDEMPOTENCY_KEY_IN_USE, headers={"Retry-After": "1"})
        kept = earlier.answer
        return JSONResponse(kept["body"], earlier.status_code, kept["headers"])
    try:
        async with _renewing(records, caller, key):
            response = await run()
    except BaseException:
        async with records.transaction() as session:
            await idempotency.release(session, api_key_id=caller.id, key=key)
        raise
    kept_headers = ("location", "retry-after", "preference-applied")
    async with records.transaction() as session:
        await idempotency.answer(
            session,
            api_key_id=caller.id,
            key=key,
            status_code=response.status_code,
            answer={
                "body": json.loads(bytes(response.body)),
                "headers": {
                    name: response.headers[name]
                    for name in kept_headers
                    if name in response.headers
                },
            },
        )
    return response


@asynccontextmanager
async def _renewing(records: Records, caller: Caller, key: str) -> AsyncIterator[None]:
    """Keep the claim alive: a request that waits for a job's end runs longer than a claim lasts."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            with suppress(Problem):
                async with records.transaction() as session:
                    await idempotency.renew(session, api_key_id=caller.id, key=key)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
