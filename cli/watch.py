"""Follows a job by polling its status, as slowly as the service asks for.

A service that restarts in the meantime is waited for: the job goes on all the same.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

import httpx2

from autos.cnj import CaseNumber
from cli.answers import Status
from cli.client import ApiClient, Refused

INTERVAL_SECONDS: Final = 0.5
GIVE_UP_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 30.0


async def watch(
    client: ApiClient,
    number: CaseNumber,
    *,
    interval: float = INTERVAL_SECONDS,
    give_up: float = GIVE_UP_SECONDS,
) -> AsyncIterator[Status]:
    """Every new status until the job has ended, the last one included.

    Raises:
        Refused: the service does not answer this question, now and in a moment.
        httpx2.TransportError: the service was out of reach for longer than `give_up` seconds.
    """
    tag: str | None = None
    answered = monotonic()
    while True:
        pause: float | None = None
        try:
            reply = await client.status(number, tag)
        except httpx2.TransportError:
            if monotonic() - answered > give_up:
                raise
        except Refused as refused:
            if not refused.passing or monotonic() - answered > give_up:
                raise
            pause = refused.retry_after
        else:
            answered = monotonic()
            tag, pause = reply.tag, reply.retry_after
            if reply.status is not None:
                yield reply.status
                if reply.status.status.ended:
                    return
        await asyncio.sleep(min(pause if pause is not None else interval, _LONGEST_PAUSE_SECONDS))
