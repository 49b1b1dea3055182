"""All else that is set and read: counters, switches, faults, tokens, receivers of webhooks."""

import dataclasses

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from sandbox.control.cases import WorldOf, find_case, find_document
from sandbox.faults import Fault, FaultName
from sandbox.receiver import Behaviour
from sandbox.tokens import LIFETIME_SECONDS
from sandbox.world import Switches

router = APIRouter()


class BurstLimit(BaseModel):
    """Requests per second beyond which 503 is answered; null lifts the limit."""

    model_config = ConfigDict(extra="forbid")

    max_per_second: int | None = Field(ge=0)


class Clock(BaseModel):
    """How many seconds the clock that tokens are checked by is ahead."""

    model_config = ConfigDict(extra="forbid")

    offset_seconds: float


@router.get("", summary="Says that the stand-in is up")
async def show_index(world: WorldOf) -> dict[str, object]:
    """The numbers of the catalogue by name, but for the portfolio's."""
    names = world.catalogue.names().items()
    cases = {name: number.masked for name, number in names if not name.startswith("portfolio-")}
    return {"documentation": "/control/docs", "cases": cases}


@router.get("/counters")
async def show_counters(world: WorldOf) -> dict[str, object]:
    """All counts."""
    return world.counters.shown()


@router.get("/requests")
async def list_requests(world: WorldOf, after: int = 0) -> list[dict[str, object]]:
    """The log from the request after the given id."""
    return world.counters.requests(after)


@router.post("/reset")
async def reset(world: WorldOf) -> dict[str, object]:
    """Clear counters, faults, switches, receivers and the changes of cases."""
    world.reset()
    return {}


@router.get("/switches")
async def show_switches(world: WorldOf) -> Switches:
    """The switches."""
    return world.switches


@router.post("/switches")
async def set_switches(wanted: Switches, world: WorldOf) -> Switches:
    """Set the switches that are given; the others stay."""
    for name in wanted.model_fields_set:
        setattr(world.switches, name, getattr(wanted, name))
    return world.switches


@router.post("/burst")
async def limit_burst(wanted: BurstLimit, world: WorldOf) -> BurstLimit:
    """Limit the requests per second."""
    world.burst.limit(wanted.max_per_second)
    return wanted


@router.post("/clock")
async def set_clock(wanted: Clock, world: WorldOf) -> Clock:
    """Set the clock of the tokens."""
    world.tokens.clock_offset = wanted.offset_seconds
    return wanted


@router.get("/fault-names")
async def list_fault_names() -> list[dict[str, object]]:
    """Every fault with the routes it strikes by default."""
    return [
        {"fault": name.value, "description": name.description, "routes": sorted(name.routes)}
        for name in FaultName
    ]


@router.post("/faults")
async def add_fault(fault: Fault, world: WorldOf) -> dict[str, object]:
    """Put a fault in force; `process` may also be a name of the catalogue."""
    if fault.process is not None:
        known = world.catalogue.find(fault.process)
        digits = "".join(c for c in fault.process if c.isdigit())
        fault.process = known.number.digits if known else digits
        if len(fault.process) != 20:
            raise HTTPException(422, "A process is a case number or a name of the catalogue.")
    if isinstance(fault.document, int):
        if fault.process is None:
            raise HTTPException(422, "A place in the list needs a process.")
        fault.document = find_document(find_case(world, fault.process), fault.document)
    elif fault.document is not None:
        fault.document = fault.document.lower()
    return {"id": world.faults.add(fault)}


@router.get("/faults")
async def list_faults(world: WorldOf) -> list[dict[str, object]]:
    """The faults in force, oldest first, with how often they struck."""
    return [
        {"id": entry.id, "fitted": entry.fitted, "struck": entry.struck}
        | entry.fault.model_dump(mode="json")
        for entry in world.faults.entries()
    ]


@router.delete("/faults")
async def clear_faults(world: WorldOf) -> dict[str, object]:
    """Remove every fault."""
    world.faults.clear()
    return {}


@router.delete("/faults/{fault_id}")
async def remove_fault(fault_id: int, world: WorldOf) -> dict[str, object]:
    """Remove one fault."""
    if not world.faults.remove(fault_id):
        raise HTTPException(404, f"There is no fault {fault_id}.")
    return {}


class WantedToken(BaseModel):
    """What the token should be good for."""

    model_config = ConfigDict(extra="forbid")

    lifetime_seconds: float = Field(default=LIFETIME_SECONDS, ge=0)
    """Also of the tokens it is refreshed to."""
    max_requests: int | None = Field(default=None, ge=0)


class Revocation(BaseModel):
    """The access token to kill; null for all, the demo token and the refresh tokens included."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = None


@router.post("/tokens")
async def issue_token(body: WantedToken, world: WorldOf) -> dict[str, object]:
    """The tokens of a new session."""
    return dataclasses.asdict(world.tokens.login(body.lifetime_seconds, body.max_requests))


@router.post("/tokens/revoke")
async def revoke_tokens(revocation: Revocation, world: WorldOf) -> dict[str, object]:
    """Kill a token, or all."""
    world.tokens.revoke(revocation.token)
    return {}


@router.post("/tokens/restore")
async def restore_tokens(world: WorldOf) -> dict[str, object]:
    """Make the demo token valid again, and set the clock right."""
    world.tokens.restore()
    return {}


@router.get("/receiver/{name}")
async def list_received(name: str, world: WorldOf, after: int = 0) -> dict[str, object]:
    """The last 1,000 requests, oldest first; `total` counts all."""
    receiver = world.receivers[name]
    kept = [request for request in receiver.received if int(str(request["id"])) > after]
    return {"behaviour": receiver.behaviour, "total": receiver.total, "requests": kept}


@router.post("/receiver/{name}")
async def script_receiver(name: str, behaviour: Behaviour, world: WorldOf) -> Behaviour:
    """Answer so from now on."""
    world.receivers[name].script(behaviour)
    return behaviour


@router.delete("/receiver/{name}")
async def forget_receiver(name: str, world: WorldOf) -> dict[str, object]:
    """Forget the receiver and what it was sent."""
    world.receivers.remove(name)
    return {}
