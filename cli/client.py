"""The REST API as functions. A refusal becomes a `Refused` that reads as a sentence.

It does not retry: what a refusal or a broken connection means is for the caller to decide.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from autos.cnj import CaseNumber
from autos.retry_after import parse_retry_after
from cli.answers import (
    ApiKey,
    CredentialState,
    Diagnosis,
    Document,
    Health,
    Item,
    Job,
    NewApiKey,
    Page,
    Problem,
    Process,
    Reconciliation,
    Started,
    Status,
    WokenJobs,
)
from cli.connection import Connection
from cli.errors import CommandError

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_PAGE: Final = 200
_Model = TypeVar("_Model", bound=BaseModel)
Parameters = Mapping[str, str | int]


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
        return await self.ask(Started, "POST", f"/processes/{number.digits}/downloads", json=body)

    async def status(self, number: CaseNumber, tag: str | None = None) -> StatusReply:
        """How far a process is, without its documents."""
        reply = await self.send(
            "GET",
            f"/processes/{number.digits}/status",
            params={"documents": "none"},
            headers={"If-None-Match": tag} if tag else {},
        )
        unchanged = reply.status_code == HTTPStatus.NOT_MODIFIED
        return StatusReply(
            status=None if unchanged else _read(Status, reply),
            tag=reply.headers.get("ETag", tag if unchanged else None),
            retry_after=parse_retry_after(reply.headers.get("Retry-After")),
        )

    async def process(self, number: CaseNumber) -> Process:
        """What is held of a process; starts nothing."""
        path, params = f"/processes/{number.digits}", {"auto_download": "false"}
        return await self.ask(Process, "GET", path, params=params)

    def documents(self, number: CaseNumber) -> AsyncIterator[Document]:
        """Every document of a process, page after page."""
        return self.every(Document, f"/processes/{number.digits}/documents")

    async def location(self, path: str) -> str:
        """Where a route redirects to: a link into the store, minted now."""
        reply = await self.send("GET", path)
        if not reply.has_redirect_location:
            raise CommandError(f"{reply.url} answered without a link to the store.")
        return str(reply.url.join(reply.headers["Location"]))

    async def manifest(self, number: CaseNumber) -> str | bytes:
        """The manifest of a process's newest ended job: its bytes, or a link to them."""
        reply = await self.send("GET", f"/processes/{number.digits}/manifest")
        if reply.has_redirect_location:
            return str(reply.url.join(reply.headers["Location"]))
        return reply.content

    def jobs(
        self, *, status: str | None = None, process_number: str | None = None
    ) -> AsyncIterator[Job]:
        """Every job there is of a status or a process, newest first, page after page."""
        given = {"status": status, "process_number": process_number}
        return self.every(Job, "/jobs", {name: text for name, text in given.items() if text})

    async def job(self, job_id: str) -> Job:
        """One job."""
        return await self.ask(Job, "GET", f"/jobs/{job_id}")

    async def steer(self, job_id: str, verb: str) -> None:
        """Cancel, pause, resume a job, or retry what it could not get."""
        await self.send("POST", f"/jobs/{job_id}/{verb}")

    async def health(self) -> Health:
        """What the API can reach. It answers with 503 when that is not everything."""
        reply = await self._http.get("/health/ready")
        if reply.status_code not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            raise _refused(reply)
        return _read(Health, reply)

    async def diagnosis(self) -> Diagnosis:
        """Have the API look at each of its parts."""
        return await self.ask(Diagnosis, "GET", "/diagnosis")

    async def credential(self) -> CredentialState:
        """What is known of the source's credential."""
        return await self.ask(CredentialState, "GET", "/credentials/pdpj")

    async def set_credential(self, access_token: str, refresh_token: str | None) -> WokenJobs:
        """Set the source's credential; jobs that wait for one go on."""
        body = {"access_token": access_token}
        if refresh_token:
            body["refresh_token"] = refresh_token
        return await self.ask(WokenJobs, "PUT", "/credentials/pdpj", json=body)

    async def reconcile(self, *, dry_run: bool, wait: int) -> Reconciliation:
        """Start a reconciliation, or join the running one, and wait so many seconds for it."""
        return await self.ask(
            Reconciliation,
            "POST",
            "/reconciliations",
            json={"dry_run": dry_run},
            headers={"Prefer": f"wait={wait}"},
        )

    async def reconciliation(self, reconciliation_id: str, *, wait: int) -> Reconciliation:
        """How far it is, after so many seconds or at its end."""
        path, headers = f"/reconciliations/{reconciliation_id}", {"Prefer": f"wait={wait}"}
        return await self.ask(Reconciliation, "GET", path, headers=headers)

    async def create_key(self, name: str, role: str, expires_at: datetime | None) -> NewApiKey:
        """Make an API key."""
        body: dict[str, Any] = {"name": name, "role": role}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        return await self.ask(NewApiKey, "POST", "/api-keys", json=body)

    def api_keys(self) -> AsyncIterator[ApiKey]:
        """Every API key, without the keys themselves."""
        return self.every(ApiKey, "/api-keys")

    async def revoke_key(self, key_id: str) -> None:
        """End the life of an API key."""
        await self.send("DELETE", f"/api-keys/{key_id}")

    async def new_webhook_secret(self) -> str:
        """Replace this key's signing secret; for a day webhooks carry the old signature, too."""
        reply = await self.send("POST", "/webhooks/secret/rotate")
        secret: str = reply.json()["secret"]
        return secret

    async def every(
        self, item: type[Item], path: str, params: Parameters | None = None
    ) -> AsyncIterator[Item]:
        """Every item of a list, page after page."""
        cursor: str | None = None
        while True:
            asked = {"limit": _PAGE, **(params or {}), **({"cursor": cursor} if cursor else {})}
            page = await self.ask(Page[item], "GET", path, params=asked)  # type: ignore[valid-type]  # a type made of a variable
            for one in page.items:
                yield one
            cursor = page.next
            if cursor is None:
                return

    async def ask(self, model: type[_Model], method: str, path: str, **options: Any) -> _Model:
        """Send a request and read its answer; options as those of `send`.

        Raises:
            Refused: the API refuses it.
            CommandError: the answer is none that this command can read.
        """
        return _read(model, await self.send(method, path, **options))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Parameters | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        """Send a request below `/api/v1`; no redirect is followed.

        Raises:
            Refused: the API refuses it.
        """
        reply = await self._http.request(
            method, f"/api/v1{path}", params=params, headers=headers, json=json
        )
        if reply.is_error:
            raise _refused(reply)
        return reply


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


def _read(model: type[_Model], reply: httpx2.Response) -> _Model:
    try:
        return model.model_validate_json(reply.content)
    except ValidationError as unreadable:
        first = unreadable.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CommandError(
            f"The answer of {reply.url.copy_with(query=None)} cannot be read "
            f"({f'{where}: ' if where else ''}{first['msg']}). Is this the address of an Autos "
            "API, and is this command as new as the service? See `autos --version`."
        ) from unreadable


def _refused(reply: httpx2.Response) -> Refused:
    return Refused(
        _sentence(reply), reply.status_code, parse_retry_after(reply.headers.get("Retry-After"))
    )


def _sentence(reply: httpx2.Response) -> str:
    """The problem in the API's own words, whole, else what the status says."""
    problem = _problem(reply)
    title = problem.title or _phrase(reply.status_code)
    text = f"{title}: {problem.detail}" if problem.detail else _bare(title, reply.status_code)
    if problem.request_id:
        text += f" [request {problem.request_id}]"
    return "\n".join([text, *(_error(error) for error in problem.errors or ())])


def _error(error: Mapping[str, Any]) -> str:
    where, message = error.get("where"), error.get("message")
    return f"  {where}: {message}" if where and message else f"  {dict(error)}"


def _bare(title: str, status: int) -> str:
    return f"{title} (HTTP {status})."


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The service refused"


def _problem(reply: httpx2.Response) -> Problem:
    try:
        return Problem.model_validate_json(reply.content)
    except ValidationError:
        return Problem()
