"""A client of the sandbox for tests: the portal's routes and the control API."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

TOKEN = "sandbox-demo-token"


class Sandbox:
    """A running sandbox."""

    def __init__(self, url: str, http: httpx2.AsyncClient, process: Process) -> None:
        self.url = url
        self.http = http
        self.process = process

    async def get(self, path: str, token: str | None = TOKEN, **more: Any) -> httpx2.Response:
        """GET a route of the portal."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return await self.http.get(path, headers=headers | more.pop("headers", {}), **more)

    async def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET a control route, or POST if there is a body; the JSON of the answer."""
        method = "GET" if body is None else "POST"
        reply = await self.http.request(method, f"/control/{path}", json=body)
        assert reply.is_success, reply.text
        return reply.json()

    async def case(self, name: str) -> dict[str, Any]:
        """A case, from the control API."""
        case: dict[str, Any] = await self.control(f"cases/{name}")
        return case

    async def detail(self, name: str) -> dict[str, Any]:
        """The one object of a case's detail."""
        reply = await self.get(f"/api/v2/processos/{(await self.case(name))['masked']}")
        assert reply.status_code == 200
        (item,) = reply.json()
        assert isinstance(item, dict)
        return item

    async def binary(self, name: str = "small", index: int = 0, **more: Any) -> httpx2.Response:
        """Download a document by its place in the list."""
        return await self.get(await self.path(name, index), **more)

    async def path(self, name: str = "small", index: int = 0, form: str = "binario") -> str:
        """The path of a document."""
        case = await self.case(name)
        document = case["documents"][index]["uuid"]
        return f"/api/v2/processos/{case['masked']}/documentos/{document}/{form}"

    async def fault(self, fault: str, **more: Any) -> int:
        """Put a fault in force."""
        return int((await self.control("faults", {"fault": fault} | more))["id"])


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Sandbox]:
    """Start a sandbox; ended by SIGTERM."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=os.environ)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        url = json.loads(line)["url"]
        async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            yield Sandbox(url, http, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 5)
