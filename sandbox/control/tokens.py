"""Tokens for tests: issue them, and kill them in the middle of a run."""

import dataclasses

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sandbox.control.access import WorldOf
from sandbox.tokens import LIFETIME_SECONDS

router = APIRouter(prefix="/tokens")


class Wish(BaseModel):
    """What the token should be good for."""

    model_config = ConfigDict(extra="forbid")

    lifetime_seconds: float = Field(default=LIFETIME_SECONDS, ge=0)
    """Also of the tokens it is refreshed to."""
    max_requests: int | None = Field(default=None, ge=0)


class Revocation(BaseModel):
    """The access token to kill; null for all, the demo token and the refresh tokens included."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = None


@router.post("")
async def issue(wish: Wish, world: WorldOf) -> dict[str, object]:
    """The tokens of a new session."""
    return dataclasses.asdict(world.tokens.login(wish.lifetime_seconds, wish.max_requests))


@router.post("/revoke")
async def revoke(revocation: Revocation, world: WorldOf) -> dict[str, object]:
    """Kill a token, or all."""
    world.tokens.revoke(revocation.token)
    return {}


@router.post("/restore")
async def restore(world: WorldOf) -> dict[str, object]:
    """Make the demo token valid again, and set the clock right."""
    world.tokens.restore()
    return {}
