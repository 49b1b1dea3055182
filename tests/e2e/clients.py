"""How the end-to-end tests talk to the service and to the sandbox: by HTTP only."""

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
"""Seconds that any wait may last before the test fails."""


class Unavailable(Exception):
    """The service said 503 with a Retry-After: a client asks again."""


@dataclass(frozen=True)
class Api:
    """A REST client of the service."""

    http: httpx2.AsyncClient
    url: str
    key: str

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """One request under `/api/v1`, with the key."""
        sent = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        return await self.http.request(method, f"{self.url}/api/v1{path}", headers=sent, **options)

    async def lives(self) -> bool:
        """Whether the process answers at all."""
        try:
            return (await self.http.get(f"{self.url}/health/live")).status_code == 200
        except httpx2.TransportError:
            return False

    async def start(self, number: str, **body: Any) -> dict[str, Any]:
        """Ask for a download; the answer to it."""
        reply = await self.request("POST", f"/processes/{number}/downloads", json=body)
        # 200 where the job has ended by the time of the answer.
        assert reply.status_code in (200, 202), reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def status(self, number: str, documents: str = "none", wait: int = 0) -> dict[str, Any]:
        """The status, without the documents unless they are asked for."""
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
        """The manifest, from where the service redirects to."""
        reply = await self.request("GET", f"/processes/{number}/manifest", follow_redirects=True)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def polls(
        self, number: str, wait: int = 1, bound: float = BOUND
    ) -> AsyncIterator[dict[str, Any]]:
        """Status after status until the job has ended; the last one is yielded, too.

        The service answers when something has changed, at the latest after `wait` seconds.
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

    async def patience(self) -> AsyncIterator[None]:
        """For loops that look again and again: another process sets no event of ours."""
        async with asyncio.timeout(BOUND):
            while True:
                yield
                await asyncio.sleep(0.05)

    async def ended(self, number: str, bound: float = BOUND) -> dict[str, Any]:
        """The last status, all documents with it."""
        async for _ in self.polls(number, bound=bound):
            pass
        return await self.status(number, documents="full")

    async def until_waiting(self, number: str, reason: str) -> dict[str, Any]:
        """The first status that waits for this."""
        async for status in self.polls(number):
            if status["waiting_for"] == reason:
                return status
        raise AssertionError(f"The job ended without waiting for {reason}.")

    async def steer(self, job_id: str, verb: str) -> dict[str, Any]:
        """Cancel, pause, resume a job, or have it retry what failed."""
        reply = await self.request("POST", f"/jobs/{job_id}/{verb}")
        assert reply.status_code == 202, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def sha256(self, url: str) -> str:
        """The hash of what a link opens."""
        digest = hashlib.sha256()
        async with self.http.stream("GET", url) as reply:
            assert reply.status_code == 200, url
            async for chunk in reply.aiter_raw():
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class Sandbox:
    """The control routes of the stand-in for PDPJ."""

    http: httpx2.AsyncClient
    url: str

    async def control(self, method: str, path: str, **options: Any) -> Any:
        """One request under `/control`."""
        reply = await self.http.request(method, f"{self.url}/control{path}", **options)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    async def reset(self) -> None:
        """Forget counters, faults and changes."""
        await self.control("POST", "/reset")

    async def counters(self) -> dict[str, Any]:
        """What was asked, and how much at once."""
        counters: dict[str, Any] = await self.control("GET", "/counters")
        return counters

    async def truth(self, number: str) -> dict[str, Any]:
        """What the case really holds."""
        truth: dict[str, Any] = await self.control("GET", f"/cases/{number}")
        return truth

    async def new_case(self, documents: int, **options: Any) -> dict[str, Any]:
        """A case made for this test."""
        case: dict[str, Any] = await self.control(
            "POST", "/cases", json={"documents": documents, **options}
        )
        return case

    def receiver(self, name: str) -> str:
        """The address of a receiver of webhooks; there is one of every name."""
        return f"{self.url}/receiver/{name}"

    async def received(self, name: str, requests: int = 1) -> list[dict[str, Any]]:
        """What the receiver was sent, once it was sent so many requests."""
        async with asyncio.timeout(BOUND):
            while True:
                told = await self.control("GET", f"/receiver/{name}")
                if told["total"] >= requests:
                    kept: list[dict[str, Any]] = told["requests"]
                    return kept
                # Another process sets no event of ours.
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def fault(
        self, name: str, number: str | None = None, document: str | int | None = None, **when: Any
    ) -> AsyncIterator[None]:
        """A fault for as long as the block lasts."""
        body = {"fault": name, "process": number, "document": document}
        when = when or {"mode": "always"}
        fault = await self.control("POST", "/faults", json=body | {"when": when})
        try:
            yield
        finally:
            await self.control("DELETE", f"/faults/{fault['id']}")


async def executions(stack: Stack, http: httpx2.AsyncClient, query: str) -> list[dict[str, Any]]:
    """What the Web UI lists for a query by search attributes, once it lists anything.

    Lists are eventually consistent, so this waits for the first.
    """
    address = f"{stack.addresses['temporal-ui']}/api/v1/namespaces/default/workflows"
    async with asyncio.timeout(BOUND):
        while True:
            reply = await http.get(address, params={"query": query})
            found: list[dict[str, Any]] = reply.json().get("executions", [])
            if found:
                return found
