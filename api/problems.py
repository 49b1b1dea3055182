"""Errors as RFC 9457 problem details: a stable `type`, a sentence for the reader, the request id.

Routes raise `Problem`, or let the errors of the database, Temporal and the store pass; `install`
registers the handlers that turn these into problems. The text of any other exception does not reach
the client: it is in the log under the request id.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from temporalio.service import RPCError

from autos.records.database import DatabaseUnreachable, is_outage
from autos.store import StoreError
from autos.vault import SealBroken

log = structlog.get_logger(__name__)

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
    "The check digits are 02, but the other digits ask for 20: look for a typing error.",
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
_OF_THE_FRAMEWORK: Final = {
    kind.status: kind for kind in (UNREADABLE_BODY, PATH_UNKNOWN, METHOD_NOT_ALLOWED)
}
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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
    instance: str = Field(description="The path that was asked for")
    request_id: str
    errors: list[dict[str, str]] | None = Field(None, description="What does not fit, and where")
    reason: str | None = Field(None, description="Why the source did not give it")


def unavailable(kind: ProblemType, detail: str | None = None) -> Problem:
    """The database, Temporal or the store is away for the moment."""
    return Problem(kind, detail, headers={"Retry-After": "5"})


_OUTAGES: Final = (SealBroken, SQLAlchemyError, DatabaseUnreachable, RPCError, StoreError)
"""Errors that `as_problem` translates; of SQLAlchemy's only those that `is_outage` names."""


def as_problem(error: BaseException) -> Problem | None:
    """The problem that answers an error; None for an error that is a fault of the code."""
    match error:
        case Problem():
            return error
        case SealBroken():
            # Its text names the setting and no secret.
            return unavailable(RECORDS_UNAVAILABLE, str(error))
        case RPCError():
            log.warning("engine_unavailable", status=error.status.name)
            return unavailable(ENGINE_UNAVAILABLE)
        case StoreError():
            log.warning("store_unavailable", error=type(error).__name__)
            return unavailable(STORE_UNAVAILABLE)
        case _ if is_outage(error):
            log.warning("records_unavailable", error=type(error).__name__)
            return unavailable(RECORDS_UNAVAILABLE)
    return None


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

    Those that follow from a route's inputs are added to every route (see `_implied`).
    """
    described: dict[int | str, dict[str, Any]] = {}
    _describe(described, kinds)
    return described


def _describe(described: dict[Any, dict[str, Any]], kinds: Iterable[ProblemType]) -> None:
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


def _implied(path: str, operation: Mapping[str, Any]) -> Iterator[ProblemType]:
    """The problems that follow from what an operation takes: a key, a number, a cursor, a body."""
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    if "security" in operation:
        yield UNAUTHORIZED
        yield RECORDS_UNAVAILABLE
    if "{number}" in path or "process_number" in parameters:
        yield INVALID_CASE_NUMBER
    if "cursor" in parameters:
        yield INVALID_CURSOR
    if "requestBody" in operation:
        yield UNREADABLE_BODY
    if parameters or "requestBody" in operation:
        yield INVALID_REQUEST


def install(app: FastAPI) -> None:
    """Make every error of the app a problem, the framework's own ones too."""

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        problem = as_problem(error)
        if problem is None:
            raise error
        return respond(request, problem)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
        # What was sent is not echoed: it may hold a webhook URL with a secret in it.
        errors = [
            {"where": ".".join(str(part) for part in entry["loc"]), "message": entry["msg"]}
            for entry in error.errors()
        ]
        broken = any(entry["type"] == "json_invalid" for entry in error.errors())
        return respond(
            request, Problem(UNREADABLE_BODY if broken else INVALID_REQUEST, errors=errors)
        )

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        kind = _OF_THE_FRAMEWORK[error.status_code]
        headers = dict(error.headers or {})
        if kind is METHOD_NOT_ALLOWED:
            # The framework's own header names the methods of the first route that fits only.
            headers["Allow"] = ", ".join(_allowed(app, request))
        return respond(request, Problem(kind, headers=headers))

    for error in (Problem, *_OUTAGES):
        app.add_exception_handler(error, on_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        description = describe()
        for path, operations in description["paths"].items():
            for operation in operations.values():
                # FastAPI's own description of a request that does not fit is not what is answered.
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]
                _describe(operation["responses"], _implied(path, operation))
        description["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
        return description

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to add to it


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """The methods that the request's path takes."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    ]
