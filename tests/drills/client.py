"""A REST client as the documentation recommends: it repeats failed requests with the same key.

It gives up after `PATIENCE` and treats every 2xx as a guarantee.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import httpx2

from tests.e2e.clients import ENDED, Api

PATIENCE: Final = 90
"""Seconds; parts stay down only for a few."""
_PAUSE: Final = 0.2
_REPEATED: Final = {409: "urn:autos:problem:idempotency-key-in-use"}


class NoAnswer(Exception):
    """The service returned no final response within the client's patience."""


@dataclass
class Caller:
    """One caller, and the defects that it saw."""

    api: Api
    complaints: list[str] = field(default_factory=list)

    async def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """Repeat a request until its response is final: a 2xx, or an error not to be retried."""
        started, seen = monotonic(), "nothing"
        while monotonic() - started < PATIENCE:
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
        """Start or join the job of a case; returns the job's id."""
        reply = await self.send(
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
        reply = await self.send("POST", f"/jobs/{job_id}/{verb}")
        if reply.status_code not in (202, 409):
            self.complaints.append(f"{verb} was answered {reply.status_code} {reply.text}")
        return reply.status_code == 202

    async def watch(self, number: str) -> AsyncIterator[dict[str, Any]]:
        """Yield statuses until the job has ended, including the last one."""
        last: dict[str, Any] | None = None
        while last is None or last["status"] not in ENDED:
            reply = await self.send(
                "GET",
                f"/processes/{number}/status",
                {"Prefer": "wait=1"},
                params={"documents": "none"},
            )
            status: dict[str, Any] = reply.json()
            if reply.status_code != 200:
                raise NoAnswer(f"The status of {number} was answered {reply.text}.")
            if complaint := _contradiction(status, last):
                self.complaints.append(complaint)
            yield status
            last = status

    async def status(self, number: str) -> dict[str, Any]:
        """The status with all documents."""
        reply = await self.send("GET", f"/processes/{number}/status", params={"documents": "full"})
        status: dict[str, Any] = reply.json()
        return status


def _is_to_be_repeated(reply: httpx2.Response) -> bool:
    wanted = _REPEATED.get(reply.status_code)
    return wanted is not None and reply.json()["type"] == wanted


def _contradiction(status: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    """The contradiction between a status and the previous one of the same case, if any."""
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
