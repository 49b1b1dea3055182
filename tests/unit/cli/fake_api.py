"""A fake of the REST API and of the store behind its links.

It answers from a script and records the requests.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api.api_keys.schemas import API_KEY, CREATED_API_KEY
from api.documents.schemas import DOCUMENT
from api.jobs.schemas import JOB_STARTED
from api.processes.schemas import PROCESS
from api.status.schemas import STATUS

NUMBER: Final = "9990002-86.2024.8.26.0100"
DIGITS: Final = "99900028620248260100"
KEY: Final = "autos_test"


def status(state: str = "processing", **fields: Any) -> dict[str, Any]:
    """The body of a status response."""
    return (
        STATUS
        | {
            "process_number": DIGITS,
            "status": state,
            "live": True,
            "total_documents": 3,
            "completed_documents": 0,
            "failed_documents": 0,
            "bytes_stored": 0,
            "eta_seconds": None,
            "some_future_field": 1,
        }
        | fields
    )


def id_of(label: str) -> str:
    """The id of the document with this label in a test."""
    return str(uuid5(NAMESPACE_OID, label))


def problem(code: int, title: str, detail: str, retry_after: str | None = None) -> Response:
    """A problem response (RFC 9457)."""
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": code, "detail": detail},
        code,
        {"Retry-After": retry_after} if retry_after else {},
        "application/problem+json",
    )


@dataclass
class FakeApi:
    """Scripted responses, and the received requests."""

    statuses: list[dict[str, Any] | Response] = field(default_factory=list)
    """The next statuses; the last one is repeated."""
    documents: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    tags: list[str | None] = field(default_factory=list)
    retry_after: str = "0.01"
    refuse: Response | None = None
    refused_numbers: set[str] = field(default_factory=set)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    """The stored files, by the label of the document."""
    cut_after: int | None = None
    """The store sends only this many bytes of the next file."""

    def hold(self, label: str, content: bytes, **fields: Any) -> dict[str, Any]:
        """Store a document and return its entry in the API."""
        self.files[label] = content
        listed = (
            DOCUMENT
            | {
                "id": id_of(label),
                "position": len(self.documents),
                "name": f"Petition {label}.pdf",
                "status": "available",
                "size": len(content),
                "mime_type": "application/pdf",
                "sha256": sha256(content).hexdigest(),
            }
            | fields
        )
        self.documents.append(listed)
        return listed

    def app(self) -> FastAPI:
        """The ASGI application."""
        app = FastAPI()

        @app.middleware("http")
        async def refusals(request: Request, call_next: Any) -> Response:
            self.requests.append(f"{request.method} {request.url.path}")
            if request.url.path.startswith("/store/"):
                assert "Authorization" not in request.headers
                stored: Response = await call_next(request)
                return stored
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return problem(401, "Not authenticated", "Send a valid key.")
            if self.refuse is not None:
                return self.refuse
            answer: Response = await call_next(request)
            return answer

        @app.post("/api/v1/processes/{number}/downloads", status_code=202)
        async def download(number: str, request: Request) -> Any:
            if number in self.refused_numbers:
                return problem(503, "The records cannot be reached", "Later.")
            self.bodies.append(await request.json())
            return JOB_STARTED | {"process_number": number, "job_id": "job-1"}

        @app.get("/api/v1/processes/{number}/status")
        async def progress(number: str, request: Request) -> Response:
            assert request.query_params["documents"] == "none"
            tag = request.headers.get("If-None-Match")
            self.tags.append(tag)
            answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if isinstance(answer, Response):
                return answer
            own = f'"{hash(str(answer))}"'
            headers = {"ETag": own, "Retry-After": self.retry_after}
            if tag == own:
                return Response(status_code=304, headers=headers)
            return JSONResponse(answer, headers=headers)

        @app.get(f"/api/v1/processes/{DIGITS}")
        async def process() -> dict[str, Any]:
            return PROCESS | {"process_number": NUMBER, "status": "completed", "new": 1}

        @app.get("/api/v1/processes/{number}/documents/{document_id}/content")
        async def content(number: str, document_id: str) -> Response:
            (label,) = (label for label in self.files if id_of(label) == document_id)
            return Response(status_code=307, headers={"Location": f"/store/{label}"})

        @app.get("/api/v1/processes/{number}/manifest")
        async def manifest(number: str) -> Response:
            return Response(status_code=307, headers={"Location": "/store/manifest"})

        @app.get("/store/{name}")
        async def stored(name: str, request: Request) -> Response:
            whole = self.files.get(name, b"{}")
            start = int(request.headers.get("Range", "bytes=0-")[6:-1])
            if start and start >= len(whole):
                return Response(status_code=416)
            sent = whole[start:]
            if self.cut_after is not None:
                sent, self.cut_after = sent[: self.cut_after], None
            return Response(sent, 206 if start else 200)

        @app.get("/api/v1/jobs")
        async def jobs() -> dict[str, Any]:
            return {"items": self.jobs, "next": None}

        @app.get("/api/v1/credentials/pdpj")
        async def credential() -> dict[str, Any]:
            return {
                "is_set": True,
                "refreshable": False,
                "expires_at": "2026-01-01T00:00:00Z",
                "refused_since": "2025-12-31T00:00:00Z",
                "waiting_jobs": 3,
                "waits": [{"waiting_for": "the tide", "reason": None, "jobs": 3, "since": None}],
            }

        @app.put("/api/v1/credentials/pdpj")
        async def new_credential(request: Request) -> dict[str, Any]:
            self.bodies.append(await request.json())
            return {"woken_jobs": 2}

        @app.get("/api/v1/processes/{number}/documents")
        async def listing(number: str, cursor: str = "0", limit: int = 0) -> dict[str, Any]:
            start = int(cursor)
            more = start + 2 < len(self.documents)
            return {
                "items": self.documents[start : start + 2],
                "next": str(start + 2) if more else None,
            }

        @app.post("/api/v1/webhooks/secret/rotate")
        async def secret() -> dict[str, Any]:
            return {"secret": "whsec_abc"}

        @app.post("/api/v1/api-keys", status_code=201)
        async def create(request: Request) -> dict[str, Any]:
            body = await request.json()
            self.bodies.append(body)
            return CREATED_API_KEY | {
                "key": "autos_new",
                "name": body["name"],
                "role": body["role"],
            }

        @app.get("/api/v1/api-keys")
        async def keys() -> dict[str, Any]:
            return {"items": [API_KEY | {"name": "me", "role": "admin", "prefix": "autos_a"}]}

        @app.delete("/api/v1/api-keys/{key_id}", status_code=204)
        async def revoke(key_id: str) -> None:
            return None

        return app
