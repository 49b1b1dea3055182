"""Exception handlers that turn errors into problems, and the problems implied by a route's inputs.

The text of an exception that is a fault of the code does not reach the client: it is in the log
under the request id, and the answer is `internal-error` (`api.http.middleware`).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from temporalio.service import RPCError

from api.problems import (
    ENGINE_UNAVAILABLE,
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    PATH_UNKNOWN,
    RECORDS_UNAVAILABLE,
    STORE_UNAVAILABLE,
    UNAUTHORIZED,
    UNREADABLE_BODY,
    Problem,
    ProblemDetails,
    ProblemType,
    describe,
    respond,
    unavailable,
)
from autos.cnj import InvalidCaseNumber
from autos.records.database import DatabaseUnreachable, is_outage
from autos.store import StoreError
from autos.vault import DecryptionFailed

log = structlog.get_logger(__name__)

_HANDLED: Final = (
    Problem,
    RequestValidationError,
    HTTPException,
    InvalidCaseNumber,
    DecryptionFailed,
    RPCError,
    StoreError,
    DatabaseUnreachable,
    SQLAlchemyError,
)
_OF_THE_FRAMEWORK: Final = {
    kind.status: kind for kind in (UNREADABLE_BODY, PATH_UNKNOWN, METHOD_NOT_ALLOWED)
}
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem, and complete its OpenAPI description."""
    for error in _HANDLED:
        app.add_exception_handler(error, _answer)
    app.openapi = partial(_openapi, app, app.openapi)  # type: ignore[method-assign]  # FastAPI's documented way


def as_problem(error: BaseException) -> Problem | None:
    """The problem that answers an error; None for an error that is a fault of the code."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return Problem(_OF_THE_FRAMEWORK[error.status_code], headers=error.headers)
        case InvalidCaseNumber():
            return Problem(INVALID_CASE_NUMBER, str(error))
        case DecryptionFailed():
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


async def _answer(request: Request, error: Exception) -> JSONResponse:
    problem = as_problem(error)
    if problem is None:
        raise error
    if problem.kind is METHOD_NOT_ALLOWED:
        # The framework's own header names the methods of the first route that fits only.
        problem.headers["Allow"] = ", ".join(_allowed(request))
    return respond(request, problem)


def _invalid(error: RequestValidationError) -> Problem:
    # What was sent is not echoed: it may hold a webhook URL with a secret in it.
    errors = [
        {"where": ".".join(str(part) for part in entry["loc"]), "message": entry["msg"]}
        for entry in error.errors()
    ]
    broken = any(entry["type"] == "json_invalid" for entry in error.errors())
    return Problem(UNREADABLE_BODY if broken else INVALID_REQUEST, errors=errors)


def _allowed(request: Request) -> list[str]:
    """The methods that the request's path takes."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def _openapi(app: FastAPI, generate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The app's description with the problems that every operation may answer."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    description = generate()
    for path, operations in description["paths"].items():
        for operation in operations.values():
            # FastAPI describes an answer of its own here, which is never sent.
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
            describe(operation["responses"], _implied(path, operation))
    description["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
    return description


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
