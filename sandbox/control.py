"""The control API under `/control`, for scripts and tests. It needs no token and is not logged.

It shows and changes cases, faults, switches, tokens, counters and webhook receivers.
`GET /control/docs` documents its routes.
"""

import asyncio
import dataclasses
import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from autos.cnj import CaseNumber, InvalidCaseNumber
from sandbox import webhook_receiver
from sandbox.cases.known import NumberTaken
from sandbox.cases.models import Case, Document
from sandbox.cases.shapes import Shape, generate_case
from sandbox.fault_schedule import Fault
from sandbox.faults import FaultName
from sandbox.state import SandboxState, Switches
from sandbox.tokens import LIFETIME_SECONDS
from sandbox.webhook_receiver import Behaviour

router = APIRouter(prefix="/control")


def create_app(state: SandboxState) -> FastAPI:
    """The application with the control API and the webhook receivers."""
    app = FastAPI(
        title="Sandbox control",
        docs_url="/control/docs",
        redoc_url=None,
        openapi_url="/control/openapi.json",
        routes=[*webhook_receiver.ROUTES],
    )
    app.state.sandbox = state
    app.include_router(router)
    return app


def _state(request: Request) -> SandboxState:
    state: SandboxState = request.app.state.sandbox
    return state


StateDependency = Annotated[SandboxState, Depends(_state)]


class BurstLimit(BaseModel):
    """The requests per second above which the sandbox returns 503; null removes the limit."""

    model_config = ConfigDict(extra="forbid")

    max_per_second: int | None = Field(ge=0)


class Clock(BaseModel):
    """Seconds by which the clock of the tokens is ahead of the real time."""

    model_config = ConfigDict(extra="forbid")

    offset_seconds: float


@router.get("", summary="Show that the sandbox is up")
async def show_index(state: StateDependency) -> dict[str, object]:
    """The named cases, without the 250 of the portfolio."""
    names = state.cases.names().items()
    cases = {name: number.masked for name, number in names if not name.startswith("portfolio-")}
    return {"documentation": "/control/docs", "cases": cases}


@router.get("/counters")
async def show_counters(state: StateDependency) -> dict[str, object]:
    """All counters."""
    return state.request_log.counts()


@router.get("/requests")
async def list_requests(state: StateDependency, after: int = 0) -> list[dict[str, object]]:
    """The logged requests with an id greater than `after`."""
    return state.request_log.requests(after)


@router.post("/reset")
async def reset(state: StateDependency) -> dict[str, object]:
    """Clear counters, faults, switches, webhook receivers and changes of cases."""
    state.reset()
    return {}


@router.get("/switches")
async def show_switches(state: StateDependency) -> Switches:
    """The current switches."""
    return state.switches


@router.post("/switches")
async def set_switches(switches: Switches, state: StateDependency) -> Switches:
    """Set the given switches; the others keep their values."""
    for name in switches.model_fields_set:
        setattr(state.switches, name, getattr(switches, name))
    return state.switches


@router.post("/burst")
async def limit_burst(limit: BurstLimit, state: StateDependency) -> BurstLimit:
    """Limit the requests per second."""
    state.burst.limit(limit.max_per_second)
    return limit


@router.post("/clock")
async def set_clock(clock: Clock, state: StateDependency) -> Clock:
    """Set the clock of the tokens."""
    state.tokens.clock_offset = clock.offset_seconds
    return clock


@router.get("/fault-names")
async def list_fault_names() -> list[dict[str, object]]:
    """Every available fault with its default routes."""
    return [
        {"fault": name.value, "description": name.description, "routes": sorted(name.routes)}
        for name in FaultName
    ]


@router.post("/faults")
async def add_fault(fault: Fault, state: StateDependency) -> dict[str, object]:
    """Add a fault. `process` is a case number or the name of a case."""
    if fault.process is not None:
        known = state.cases.find(fault.process)
        digits = "".join(c for c in fault.process if c.isdigit())
        fault.process = known.number.digits if known else digits
        if len(fault.process) != 20:
            raise HTTPException(422, "`process` must be a case number or the name of a known case.")
    if isinstance(fault.document, int):
        if fault.process is None:
            raise HTTPException(422, "A position in the list needs `process`.")
        fault.document = _find_document(_find_case(state, fault.process), fault.document)
    elif fault.document is not None:
        fault.document = fault.document.lower()
    return {"id": state.faults.add(fault)}


@router.get("/faults")
async def list_faults(state: StateDependency) -> list[dict[str, object]]:
    """The active faults, oldest first, with the requests that matched and were changed."""
    return [
        {"id": active.id, "fitted": active.matched, "struck": active.applied}
        | active.fault.model_dump(mode="json")
        for active in state.faults.active()
    ]


@router.delete("/faults")
async def clear_faults(state: StateDependency) -> dict[str, object]:
    """Remove every fault."""
    state.faults.clear()
    return {}


@router.delete("/faults/{fault_id}")
async def remove_fault(fault_id: int, state: StateDependency) -> dict[str, object]:
    """Remove one fault."""
    if not state.faults.remove(fault_id):
        raise HTTPException(404, f"There is no fault {fault_id}.")
    return {}


class NewToken(BaseModel):
    """The limits of the token to issue."""

    model_config = ConfigDict(extra="forbid")

    lifetime_seconds: float = Field(default=LIFETIME_SECONDS, ge=0)
    """Also the lifetime of refreshed tokens."""
    max_requests: int | None = Field(default=None, ge=0)


class Revocation(BaseModel):
    """The access token to revoke; null for all tokens, including demo and refresh tokens."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = None


@router.post("/tokens")
async def issue_token(body: NewToken, state: StateDependency) -> dict[str, object]:
    """Start a session; returns its access token and refresh token."""
    return dataclasses.asdict(state.tokens.login(body.lifetime_seconds, body.max_requests))


@router.post("/tokens/revoke")
async def revoke_tokens(revocation: Revocation, state: StateDependency) -> dict[str, object]:
    """Revoke one token, or all."""
    state.tokens.revoke(revocation.token)
    return {}


@router.post("/tokens/restore")
async def restore_tokens(state: StateDependency) -> dict[str, object]:
    """Make the demo token valid again, and reset the clock."""
    state.tokens.restore()
    return {}


@router.get("/receiver/{name}")
async def list_received(name: str, state: StateDependency, after: int = 0) -> dict[str, object]:
    """The last 1,000 requests, oldest first; `total` counts all requests."""
    receiver = state.receivers[name]
    kept = [request for request in receiver.received if int(str(request["id"])) > after]
    return {"behaviour": receiver.behaviour, "total": receiver.total, "requests": kept}


@router.post("/receiver/{name}")
async def set_behaviour(name: str, behaviour: Behaviour, state: StateDependency) -> Behaviour:
    """Set how the receiver responds."""
    state.receivers[name].set_behaviour(behaviour)
    return behaviour


@router.delete("/receiver/{name}")
async def remove_receiver(name: str, state: StateDependency) -> dict[str, object]:
    """Remove the receiver and its requests."""
    state.receivers.remove(name)
    return {}


def _find_case(state: SandboxState, name_or_number: str) -> Case:
    """The case with the given name or number.

    Raises:
        HTTPException: 404, the case is unknown.
    """
    case = state.cases.find(name_or_number)
    if case is None:
        raise HTTPException(404, f"There is no case {name_or_number}.")
    return case


def _find_document(case: Case, document: str | int) -> str:
    """The UUID of a document, given by UUID or by position in the list (0 is the newest).

    Raises:
        HTTPException: 404, the case has no such document.
    """
    uuids = list(case.documents)
    if isinstance(document, int):
        if 0 <= document < len(uuids):
            return uuids[document]
    elif document.lower() in case.documents:
        return document.lower()
    raise HTTPException(404, f"The case {case.number} has no document {document}.")


class NewCase(BaseModel):
    """The case to create."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = None
    documents: int = Field(ge=0, le=100_000)
    size_bytes: int | None = Field(default=None, ge=0, le=2**33)
    """The size of every document; null for different sizes."""
    seed: int = 0
    shape: Shape = Shape.SIMPLE


class Change(BaseModel):
    """Changes to a case. A document is given by UUID, or by position (0 is the newest)."""

    model_config = ConfigDict(extra="forbid")

    add: int = Field(default=0, ge=0, le=1000)
    remove: str | int | None = None
    move: str | int | None = None
    replace: str | int | None = None


@router.get("/cases")
async def list_cases(state: StateDependency) -> dict[str, str]:
    """The numbers of the named cases."""
    return {name: number.masked for name, number in state.cases.names().items()}


@router.post("/cases")
async def create_case(body: NewCase, state: StateDependency) -> dict[str, object]:
    """Create a case. It replaces an earlier created case with the same number."""
    try:
        number = CaseNumber.parse(body.number) if body.number else state.cases.free_number()
    except InvalidCaseNumber as error:
        raise HTTPException(422, str(error)) from error
    case = generate_case(
        number, body.documents, shape=body.shape, size_bytes=body.size_bytes, seed=body.seed
    )
    try:
        state.cases.put(case)
    except NumberTaken as error:
        raise HTTPException(409, str(error)) from error
    return await _describe_in_thread(case)


@router.get("/cases/{name_or_number}")
async def show_case(name_or_number: str, state: StateDependency) -> dict[str, object]:
    """The content of a case: every document with its size and hash."""
    return await _describe_in_thread(_find_case(state, name_or_number))


@router.post("/cases/{name_or_number}/change")
async def change_case(
    name_or_number: str, requested: Change, state: StateDependency
) -> dict[str, object]:
    """Change a case as a court does over time."""
    case = _find_case(state, name_or_number)
    uuids = [
        None if document is None else _find_document(case, document)
        for document in (requested.remove, requested.move, requested.replace)
    ]
    case.change(requested.add, *uuids)
    return await _describe_in_thread(case)


async def _describe_in_thread(case: Case) -> dict[str, object]:
    # Hashing a large file takes a second; a thread keeps the server responsive.
    return await asyncio.to_thread(_describe, case)


def _describe(case: Case) -> dict[str, object]:
    documents = [_document(copies) for copies in case.unique()]
    return {
        "number": case.number.digits,
        "masked": case.number.masked,
        "name": case.name,
        "accessible": case.accessible,
        "total": len(documents),
        "available": sum(document["failure"] is None for document in documents),
        "size": sum(copies[0].piece.content.size for copies in case.unique()),
        "documents": documents,
    }


def _document(copies: list[Document]) -> dict[str, object]:
    first = copies[0]
    piece = first.piece
    return {
        "uuid": first.uuid,
        "uuids": [document.uuid for document in copies],
        "idOrigem": piece.origin_id,
        "instance": first.listing.instance,
        "sequence": piece.sequence,
        "name": piece.name,
        "size": piece.content.size,
        "sha256": piece.content.sha256,
        "mime": piece.content.media_type,
        "text_sha256": hashlib.sha256(piece.text.encode()).hexdigest(),
        "address": piece.address,
        "failure": piece.failure,
    }
