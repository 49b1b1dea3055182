"""Errors as RFC 9457 problem details: a stable `type`, a sentence for the reader, the request id.

Routes raise `Problem`. They let the errors of the database, Temporal and the store pass, which
`api.http.errors` turns into problems.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A type of problem: its stable name, and what to do about it."""

    name: str
    status: int
    title: str
    advice: str

    @property
    def type(self) -> str:
        """The URN in an answer."""
        return f"urn:autos:problem:{self.name}"


INVALID_CASE_NUMBER: Final = ProblemType(
    "invalid-case-number",
    400,
    "Not a case number",
    "The check digits are 02, but the other digits require 20: look for a typing error.",
)
INVALID_CURSOR: Final = ProblemType(
    "invalid-cursor",
    400,
    "Not a cursor of this list",
    "Use the `next` of the previous page as it is, or leave `cursor` out to start again.",
)
INVALID_IDEMPOTENCY_KEY: Final = ProblemType(
    "invalid-idempotency-key",
    400,
    "Not an idempotency key",
    "Send 1 to 255 visible ASCII characters, such as a UUID.",
)
INVALID_REQUEST: Final = ProblemType(
    "invalid-request", 422, "The request does not fit", "See `errors` for what to change."
)
UNREADABLE_BODY: Final = ProblemType(
    "unreadable-body", 400, "The body cannot be read", "Send JSON in UTF-8."
)
UNREADABLE_REQUEST: Final = ProblemType(
    "unreadable-request",
    400,
    "This is not an HTTP request",
    "Check the request line, the headers (16 KiB at most in all) and `Content-Length`.",
)
REQUEST_TOO_SLOW: Final = ProblemType(
    "request-too-slow",
    408,
    "The headers did not arrive in time",
    "Send all headers of a request at once.",
)
BODY_TOO_SLOW: Final = ProblemType(
    "body-too-slow", 408, "The body did not arrive in time", "Send the body within 30 seconds."
)
BODY_TOO_LARGE: Final = ProblemType(
    "body-too-large", 413, "The body is too large", "Send a shorter body."
)
BODY_ENCODED: Final = ProblemType(
    "body-encoded",
    415,
    "The body is compressed",
    "Send the body without a `Content-Encoding`.",
)
PATH_UNKNOWN: Final = ProblemType(
    "not-found", 404, "There is no such path", "See /docs for all paths."
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method-not-allowed",
    405,
    "The path does not take this method",
    "Use one of the methods in `Allow`.",
)
UNAUTHORIZED: Final = ProblemType(
    "unauthorized",
    401,
    "A valid API key is needed",
    "Send `Authorization: Bearer <key>` or `X-API-Key: <key>` with a key that is in force.",
)
FORBIDDEN: Final = ProblemType(
    "forbidden", 403, "This key may not do that", "Use a key with the role `admin`."
)
NO_ACCESS: Final = ProblemType(
    "no-access",
    403,
    "No access to this process",
    "The source does not show this process to the credential in use.",
)
PROCESS_NOT_FOUND: Final = ProblemType(
    "process-not-found",
    404,
    "The source does not know this process",
    "Check the number; a new case may take days to appear at the source.",
)
PROCESS_UNKNOWN: Final = ProblemType(
    "process-unknown",
    404,
    "No download of this process has been requested yet",
    "Start with POST /api/v1/processes/{number}/downloads.",
)
DOCUMENT_UNKNOWN: Final = ProblemType(
    "document-unknown",
    404,
    "The process has no such document",
    "Take an id from GET /api/v1/processes/{number}/documents.",
)
DOCUMENT_FAILED: Final = ProblemType(
    "document-failed",
    404,
    "The document could not be downloaded",
    "See `reason`; POST /api/v1/jobs/{id}/retry-failed requests it from the source again.",
)
DOCUMENT_GONE: Final = ProblemType(
    "document-gone",
    410,
    "The source no longer lists the document",
    "It was withdrawn before it could be stored.",
)
DOCUMENT_PENDING: Final = ProblemType(
    "document-pending",
    409,
    "The document is not stored yet",
    "Retry after `Retry-After` seconds, or follow the status of the process.",
)
MANIFEST_MISSING: Final = ProblemType(
    "manifest-missing",
    404,
    "There is no manifest yet",
    "A manifest is written when a job ends; follow the status of the process.",
)
JOB_UNKNOWN: Final = ProblemType(
    "job-unknown", 404, "There is no such job", "Take an id from GET /api/v1/jobs."
)
JOB_ENDED: Final = ProblemType(
    "job-ended", 409, "The job has ended", "Start a new one with POST …/downloads."
)
JOB_CLOSING: Final = ProblemType(
    "job-closing",
    409,
    "The job is ending",
    "Wait until it has ended; `retry-failed` then starts a new one.",
)
JOB_RUNNING: Final = ProblemType(
    "job-running", 409, "A job of this process is running", "Wait for its end, or cancel it first."
)
API_KEY_UNKNOWN: Final = ProblemType(
    "api-key-unknown", 404, "There is no such API key", "Take an id from GET /api/v1/api-keys."
)
RECONCILIATION_UNKNOWN: Final = ProblemType(
    "reconciliation-unknown",
    404,
    "There is no such reconciliation",
    "Take the id from POST /api/v1/reconciliations; reports are kept as long as Temporal keeps "
    "ended workflows.",
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemType(
    "idempotency-key-reused",
    422,
    "The key belongs to another request",
    "Use a new Idempotency-Key for a request that differs.",
)
IDEMPOTENCY_KEY_IN_USE: Final = ProblemType(
    "idempotency-key-in-use",
    409,
    "The first request with this key is still running",
    "Repeat the request after `Retry-After` seconds to get its answer.",
)
ENGINE_UNAVAILABLE: Final = ProblemType(
    "engine-unavailable",
    503,
    "The job engine cannot be reached",
    "The request may not have been carried out; repeat it after `Retry-After` seconds.",
)
RECORDS_UNAVAILABLE: Final = ProblemType(
    "records-unavailable",
    503,
    "The records cannot be reached",
    "The request may not have been carried out; repeat it after `Retry-After` seconds.",
)
STORE_UNAVAILABLE: Final = ProblemType(
    "store-unavailable",
    503,
    "The object store cannot be reached",
    "Repeat the request after `Retry-After` seconds.",
)
INTERNAL_ERROR: Final = ProblemType(
    "internal-error",
    500,
    "Something went wrong on our side",
    "Repeat the request; if it fails again, report it with the `request_id`.",
)


OF_EVERY_ROUTE: Final = (BODY_TOO_SLOW, BODY_TOO_LARGE, BODY_ENCODED, INTERNAL_ERROR)
"""Problems that any request may meet; in the description of every route."""


class Problem(Exception):
    """Raised anywhere in a request to answer it with a problem."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(kind.name)
        self.kind = kind
        self.detail = detail or kind.advice
        self.headers = dict(headers or {})
        self.members = members


class ProblemDetails(BaseModel):
    """An error (RFC 9457). Decide by `type`, never by the texts."""

    type: str = Field(examples=["urn:autos:problem:invalid-case-number"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path of the request")
    request_id: str
    errors: list[dict[str, str]] | None = Field(None, description="What does not fit, and where")
    reason: str | None = Field(None, description="Why the source did not give it")


def unavailable(kind: ProblemType, detail: str | None = None) -> Problem:
    """The database, Temporal or the store is away for the moment."""
    return Problem(kind, detail, headers={"Retry-After": "5"})


def document(problem: Problem, path: str, request_id: str) -> dict[str, Any]:
    """The members of a problem document."""
    return {
        "type": problem.kind.type,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
        **problem.members,
    }


def respond(request: Request, problem: Problem) -> JSONResponse:
    """The answer to a request that met a problem."""
    body = document(problem, request.url.path, request.scope.get("request_id", ""))
    return JSONResponse(body, problem.kind.status, problem.headers, media_type=MEDIA_TYPE)


def responses(*kinds: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI part of a route or router: the problems it may answer, each with an example.

    `api.http.errors` adds those that follow from what a route takes.
    """
    described: dict[int | str, dict[str, Any]] = {}
    describe(described, kinds)
    return described


def describe(described: dict[Any, dict[str, Any]], kinds: Iterable[ProblemType]) -> None:
    """Add problems to the responses of an operation."""
    for kind in kinds:
        entry = described.setdefault(
            str(kind.status), {"description": HTTPStatus(kind.status).phrase, "content": {}}
        )
        content = entry["content"].setdefault(
            MEDIA_TYPE,
            {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "examples": {}},
        )
        content["examples"][kind.name] = {
            "summary": kind.title,
            "value": {
                "type": kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.advice,
                "instance": "/api/v1/processes/99900024120248260100",
                "request_id": "5f0c6f0e3d5b4c0d9a3f5f6f6a0b1c2d",
            },
        }
