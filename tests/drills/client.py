"""A REST client as the documentation asks for: what got no 2xx it asks for again, with its key.

It gives up after `PATIENCE`. What it is told with a 2xx it takes for a promise.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import httpx2

from tests.e2e.clients import ENDED, Api

PATIENCE: Final = 90
"""Seconds; no part stays down for longer than a few."""
_PAUSE: Final = 0.2
_ASK_AGAIN: Final = {409: "urn:autos:problem:idempotency-key-in-use"}


class NoAnswer(Exception):
    """The service gave no answer that counts within the client's patience."""


@dataclass
class Caller:
    """One caller, and what it saw that no caller should see."""

    api: Api
    complaints: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """The first answer that counts: a 2xx, or a refusal that asking again cannot change."""
        began, seen = monotonic(), "nothing"
        while monotonic() - began < PATIENCE:
            try:
                reply = await self.api.request(method, path, headers=headers, **options)
            except httpx2.TransportError as error:
                seen = type(error).__name__
            else:
                if reply.status_code < 500 and not _is_to_be_repeated(reply):
                    return reply
                seen = f"{reply.status_code} {reply.text}"
                if reply.status_code != 503 and reply.status_code >= 500:
                    self.complaints.append(f"{method} {path} was answered {seen}")
            await asyncio.sleep(_PAUSE)
        raise NoAnswer(f"{method} {path} got no answer in {PATIENCE} s; the last was {seen}.")

    async def start(self, number: str, webhook_url: str, key: str) -> str:
        """Start or join the job of a case; the job's id."""
        reply = await self.ask(
            "POST",
            f"/processes/{number}/downloads",
            {"Idempotency-Key": key},
            json={"webhook_url": webhook_url},
        )
        if reply.status_code not in (200, 202):
            raise NoAnswer(f"The start of {number} was answered {reply.status_code} {reply.text}.")
        return str(reply.json()["job_id"])

    async def steer(self, job_id: str, verb: str) -> bool:
        """Pause, resume or cancel a job; False if it had ended before."""
        reply = await self.ask("POST", f"/jobs/{job_id}/{verb}")
        if reply.status_code not in (202, 409):
            self.complaints.append(f"{verb} was answered {reply.status_code} {reply.text}")
        return reply.status_code == 202

    async def watch(self, number: str) -> AsyncIterator[dict[str, Any]]:
        """Status after status, the one that has ended is the last."""
        last: dict[str, Any] | None = None
        while last is None or last["status"] not in ENDED:
            reply = await self.ask(
                "GET",
                f"/processes/{number}/status",
                {"Prefer": "wait=1"},
                params={"documents": "none"},
            )
            status: dict[str, Any] = reply.json()
            if reply.status_code != 200:
                raise NoAnswer(f"The status of {number} was answered {reply.text}.")
            if complaint := _untrue(status, last):
                self.complaints.append(complaint)
            yield status
            last = status

    async def status(self, number: str) -> dict[str, Any]:
        """The status with all documents."""
        reply = await self.ask("GET", f"/processes/{number}/status", params={"documents": "full"})
        status: dict[str, Any] = reply.json()
        return status


def _is_to_be_repeated(reply: httpx2.Response) -> bool:
    wanted = _ASK_AGAIN.get(reply.status_code)
    return wanted is not None and reply.json()["type"] == wanted


def _untrue(status: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    """What is wrong with the counters of a status, seen after another of the same case."""
    states = ("pending", "processing", "completed", "failed")
    counted = sum(status[f"{state}_documents"] for state in states)
    if counted != status["total_documents"]:
        return f"the counters sum to {counted} of {status['total_documents']}"
    if before is None or before["total_documents"] != status["total_documents"]:
        return None
    was, now = before["progress_percentage"], status["progress_percentage"]
    if before["job_id"] == status["job_id"] and now < was:
        return f"the percentage fell from {was} to {now}"
    return None
