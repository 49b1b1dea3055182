"""HTTP clients of the end-to-end tests for the service and the sandbox."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from cli.stack import Stack

ENDED: Final = {"completed", "completed_with_failures", "failed", "cancelled"}
BOUND: Final = 300
"""Seconds after which any wait fails the test."""


class Unavailable(Exception):
    """The service returned 503 with a Retry-After: the client should retry."""


@dataclass(frozen=True)
class Api:
    """A REST client of the service."""

    http: httpx2.AsyncClient
    url: str
    key: str

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """Send a request under `/api/v1` with the API key."""
        sent = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        return await self.http.request(method, f"{self.url}/api/v1{path}", headers=sent, **options)

    async def is_alive(self) -> bool:
        """True if the process responds."""
        try:
            return (await self.http.get(f"{self.url}/health/live")).status_code == 200
        except httpx2.TransportError:
            return False

    async def start(self, number: str, **body: Any) -> dict[str, Any]:
        """Request a download and return the response body."""
        reply = await self.request("POST", f"/processes/{number}/downloads", json=body)
        # 200 if the job ended before the response.
        assert reply.status_code in (200, 202), reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def status(self, number: str, documents: str = "none", wait: int = 0) -> dict[str, Any]:
        """The status, by default without the documents."""
        reply = await self.request(
            "GET",
            f"/processes/{number}/status",
            params={"documents": documents},
            headers={"Prefer": f"wait={wait}"} if wait else None,
        )
        if reply.status_code == 503:
            assert reply.headers["retry-after"]
            raise Unavailable
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def manifest(self, number: str) -> dict[str, Any]:
        """The manifest, fetched from the URL that the service redirects to."""
        reply = await self.request("GET", f"/processes/{number}/manifest", follow_redirects=True)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def status_polls(
        self, number: str, wait: int = 1, bound: float = BOUND
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield statuses until the job has ended, including the last one.

        The service responds when the status has changed, after at most `wait` seconds.
        """
        async with asyncio.timeout(bound):
            while True:
                try:
                    status = await self.status(number, wait=wait)
                except Unavailable:
                    continue
                yield status
                if status["status"] in ENDED:
                    return

    async def poll(self) -> AsyncIterator[None]:
        """Yield periodically, for loops that wait for a change in another process."""
        async with asyncio.timeout(BOUND):
            while True:
                yield
                await asyncio.sleep(0.05)

    async def ended(self, number: str, bound: float = BOUND) -> dict[str, Any]:
        """Wait for the job's end and return its status with all documents."""
        async for _ in self.status_polls(number, bound=bound):
            pass
        return await self.status(number, documents="full")

    async def until_waiting(self, number: str, reason: str) -> dict[str, Any]:
        """Return the first status with this `waiting_for`."""
        async for status in self.status_polls(number):
            if status["waiting_for"] == reason:
                return status
        raise AssertionError(f"The job ended without waiting for {reason}.")

    async def steer(self, job_id: str, verb: str) -> dict[str, Any]:
        """Cancel, pause or resume a job, or retry its failed documents."""
        reply = await self.request("POST", f"/jobs/{job_id}/{verb}")
        assert reply.status_code == 202, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def sha256(self, url: str) -> str:
        """The SHA-256 hash of the file at a link."""
        digest = hashlib.sha256()
        async with self.http.stream("GET", url) as reply:
            assert reply.status_code == 200, url
            async for chunk in reply.aiter_raw():
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class Sandbox:
    """A client of the control routes of the sandbox that replaces PDPJ."""

    http: httpx2.AsyncClient
    url: str

    async def control(self, method: str, path: str, **options: Any) -> Any:
        """Send a request under `/control`."""
        reply = await self.http.request(method, f"{self.url}/control{path}", **options)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    async def reset(self) -> None:
        """Reset counters, faults and changes."""
        await self.control("POST", "/reset")

    async def counters(self) -> dict[str, Any]:
        """Requests received, and the maximum in flight."""
        counters: dict[str, Any] = await self.control("GET", "/counters")
        return counters

    async def truth(self, number: str) -> dict[str, Any]:
        """The actual content of the case."""
        truth: dict[str, Any] = await self.control("GET", f"/cases/{number}")
        return truth

    async def new_case(self, documents: int, **options: Any) -> dict[str, Any]:
        """Create a case for this test."""
        case: dict[str, Any] = await self.control(
            "POST", "/cases", json={"documents": documents, **options}
        )
        return case

    def receiver(self, name: str) -> str:
        """The URL of a webhook receiver; any name is valid."""
        return f"{self.url}/receiver/{name}"

    async def received(self, name: str, requests: int = 1) -> list[dict[str, Any]]:
        """Wait until the receiver has this many requests, and return them."""
        async with asyncio.timeout(BOUND):
            while True:
                log = await self.control("GET", f"/receiver/{name}")
                if log["total"] >= requests:
                    received: list[dict[str, Any]] = log["requests"]
                    return received
                # The sandbox is another process and sets no event here.
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def fault(
        self, name: str, number: str | None = None, document: str | int | None = None, **when: Any
    ) -> AsyncIterator[None]:
        """Enable a fault for the duration of the block."""
        body = {"fault": name, "process": number, "document": document}
        when = when or {"mode": "always"}
        fault = await self.control("POST", "/faults", json=body | {"when": when})
        try:
            yield
        finally:
            await self.control("DELETE", f"/faults/{fault['id']}")


async def executions(stack: Stack, http: httpx2.AsyncClient, query: str) -> list[dict[str, Any]]:
    """Wait until the Web UI lists executions for a query by search attributes, and return them.

    Temporal's lists are eventually consistent.
    """
    address = f"{stack.addresses['temporal-ui']}/api/v1/namespaces/default/workflows"
    async with asyncio.timeout(BOUND):
        while True:
            reply = await http.get(address, params={"query": query})
            found: list[dict[str, Any]] = reply.json().get("executions", [])
            if found:
                return found
