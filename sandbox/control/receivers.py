"""What the receivers of webhooks were sent, and how they are to answer."""

from fastapi import APIRouter

from sandbox.control.access import WorldOf
from sandbox.receiver import Behaviour

router = APIRouter(prefix="/receiver/{name}")


@router.get("")
async def list_received(name: str, world: WorldOf, after: int = 0) -> dict[str, object]:
    """The last 1,000 requests, oldest first; `total` counts all."""
    receiver = world.receivers[name]
    kept = [request for request in receiver.received if int(str(request["id"])) > after]
    return {"behaviour": receiver.behaviour, "total": receiver.total, "requests": kept}


@router.post("")
async def script(name: str, behaviour: Behaviour, world: WorldOf) -> Behaviour:
    """Answer so from now on."""
    world.receivers[name].script(behaviour)
    return behaviour


@router.delete("")
async def forget(name: str, world: WorldOf) -> dict[str, object]:
    """Forget the receiver and what it was sent."""
    world.receivers.remove(name)
    return {}
