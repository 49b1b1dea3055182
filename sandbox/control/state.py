"""Counters, the request log, the switches, and the way back to the start."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sandbox.control.access import WorldOf
from sandbox.switches import Switches

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
