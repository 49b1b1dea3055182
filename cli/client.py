"""The REST API as functions. A refusal becomes a `Refused` that reads as a sentence.

It does not retry: what a refusal or a broken connection means is for the caller to decide.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import httpx2

from autos.cnj import CaseNumber
from cli.answers import (
    ApiKey,
    ApiKeyPage,
    Document,
    DocumentPage,
    Health,
    Job,
    JobPage,
    NewApiKey,
    Reconciliation,
    Started,
    Status,
)
from cli.connection import Connection
from cli.errors import CommandError

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_PAGE: Final = 200


class Refused(CommandError):
    """The API answered with a problem (RFC 9457)."""

    def __init__(self, message: str, status: int, retry_after: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same question may well be answered in a moment."""
        return self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class StatusReply:
    """A status, or None where it is the same as the one with the given tag."""

    status: Status | None
    tag: str | None
    retry_after: float | None


class ApiClient:
    """The API at one address, with one key."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def start_download(
        self, number: CaseNumber, *, webhook_url: str | None = None, force_refresh: bool = False
    ) -> Started:
        """Start the download of a process, or join the one that runs."""
        body: dict[str, Any] = {"force_refresh": force_refresh}
        if webhook_url:
            body["webhook_url"] = webhook_url
        reply = await self._ask("POST", f"/processes/{number.digits}/downloads", json=body)
        return Started.model_validate_json(reply.content)

    async def status(self, number: CaseNumber, tag: str | None = None) -> StatusReply:
        """How far a process is, without its documents."""
        reply = await self._ask(
            "GET",
            f"/processes/{number.digits}/status",
            params={"documents": "none"},
            headers={"If-None-Match": tag} if tag else {},
        )
        unchanged = reply.status_code == HTTPStatus.NOT_MODIFIED
        return StatusReply(
            status=None if unchanged else Status.model_validate_json(reply.content),
            tag=reply.headers.get("ETag", tag if unchanged else None),
            retry_after=_retry_after(reply),
        )

    async def documents(self, number: CaseNumber) -> AsyncIterator[Document]:
        """Every document of a process, page after page."""
        cursor: str | None = None
        while True:
            params: dict[str, str | int] = {"limit": _PAGE}
            if cursor:
                params["cursor"] = cursor
            reply = await self._ask("GET", f"/processes/{number.digits}/documents", params=params)
            page = DocumentPage.model_validate_json(reply.content)
            for document in page.items:
                yield document
            cursor = page.next
            if cursor is None:
                return

    async def jobs(
        self, *, status: str | None = None, process_number: str | None = None
    ) -> AsyncIterator[Job]:
        """Every job there is of a status or a process, newest first, page after page."""
        params: dict[str, str | int] = {"limit": _PAGE}
        if status:
            params["status"] = status
        if process_number:
            params["process_number"] = process_number
        while True:
            reply = await self._ask("GET", "/jobs", params=params)
            page = JobPage.model_validate_json(reply.content)
            for job in page.items:
                yield job
            if page.next is None:
                return
            params["cursor"] = page.next

    async def steer(self, job_id: str, verb: str) -> None:
        """Cancel, pause, resume a job, or retry what it could not get."""
        await self._ask("POST", f"/jobs/{job_id}/{verb}")

    async def health(self) -> Health:
        """What the API can reach. It answers with 503 when that is not everything."""
        reply = await self._http.get("/health/ready")
        if reply.status_code not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            raise Refused(_sentence(reply), reply.status_code, _retry_after(reply))
        return Health.model_validate_json(reply.content)

    async def reconcile(self, *, dry_run: bool, wait: int) -> Reconciliation:
        """Start a reconciliation, or join the running one, and wait so many seconds for it."""
        reply = await self._ask(
            "POST",
            "/reconciliations",
            json={"dry_run": dry_run},
            headers={"Prefer": f"wait={wait}"},
        )
        return Reconciliation.model_validate_json(reply.content)

    async def reconciliation(self, reconciliation_id: str, *, wait: int) -> Reconciliation:
        """How far it is, after so many seconds or at its end."""
        reply = await self._ask(
            "GET",
            f"/reconciliations/{reconciliation_id}",
            headers={"Prefer": f"wait={wait}"},
        )
        return Reconciliation.model_validate_json(reply.content)

    async def create_key(self, name: str, role: str, expires_at: datetime | None) -> NewApiKey:
        """Make an API key."""
        body: dict[str, Any] = {"name": name, "role": role}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        reply = await self._ask("POST", "/api-keys", json=body)
        return NewApiKey.model_validate_json(reply.content)

    async def keys(self) -> list[ApiKey]:
        """Every API key, without the keys themselves."""
        found: list[ApiKey] = []
        cursor: str | None = None
        while True:
            reply = await self._ask("GET", "/api-keys", params={"cursor": cursor} if cursor else {})
            page = ApiKeyPage.model_validate_json(reply.content)
            found += page.items
            cursor = page.next
            if cursor is None:
                return found

    async def revoke_key(self, key_id: str) -> None:
        """End the life of an API key."""
        await self._ask("DELETE", f"/api-keys/{key_id}")

    async def new_webhook_secret(self) -> str:
        """Replace this key's signing secret; for a day webhooks carry the old signature, too."""
        reply = await self._ask("POST", "/webhooks/secret/rotate")
        secret: str = reply.json()["secret"]
        return secret

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        reply = await self._http.request(
            method, f"/api/v1{path}", params=params, headers=headers, json=json
        )
        if reply.is_success or reply.status_code == HTTPStatus.NOT_MODIFIED:
            return reply
        raise Refused(_sentence(reply), reply.status_code, _retry_after(reply))


@asynccontextmanager
async def open_client(
    connection: Connection, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[ApiClient]:
    """A client for the API that `connection` leads to."""
    async with httpx2.AsyncClient(
        base_url=connection.url,
        headers={"Authorization": f"Bearer {connection.key}"},
        timeout=_TIMEOUT,
        transport=transport,
    ) as http:
        try:
            yield ApiClient(http)
        except httpx2.ConnectError as unreachable:
            raise CommandError(
                f"Nothing answers at {connection.url}. Start the embedded stack with `make up`, "
                "or name another address with --url."
            ) from unreachable


def _sentence(reply: httpx2.Response) -> str:
    """The problem in the API's own words, else what the status says."""
    problem = _problem(reply)
    title = str(problem.get("title") or HTTPStatus(reply.status_code).phrase)
    detail = str(problem.get("detail") or "")
    text = f"{title}: {detail}" if detail else f"{title} (HTTP {reply.status_code})."
    request_id = problem.get("request_id")
    return f"{text} [request {request_id}]" if request_id else text


def _problem(reply: httpx2.Response) -> dict[str, Any]:
    if "json" not in reply.headers.get("Content-Type", ""):
        return {}
    try:
        content = reply.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _retry_after(reply: httpx2.Response) -> float | None:
    """Seconds to wait; a date, which our API never sends, counts as nothing said."""
    value = reply.headers.get("Retry-After", "")
    return float(value) if value.replace(".", "", 1).isdigit() else None
