"""Faults: which there are, which are in force, and adding or removing one."""

from fastapi import APIRouter, HTTPException

from sandbox.control.access import WorldOf, find_case, find_document
from sandbox.faults import Fault, FaultName

router = APIRouter()


@router.get("/fault-names")
async def list_names() -> list[dict[str, object]]:
    """Every fault with the routes it strikes by default."""
    return [
        {"fault": name.value, "description": name.description, "routes": sorted(name.routes)}
        for name in FaultName
    ]


@router.post("/faults")
async def add(fault: Fault, world: WorldOf) -> dict[str, object]:
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
async def clear(world: WorldOf) -> dict[str, object]:
    """Remove every fault."""
    world.faults.clear()
    return {}


@router.delete("/faults/{fault_id}")
async def remove(fault_id: int, world: WorldOf) -> dict[str, object]:
    """Remove one fault."""
    if not world.faults.remove(fault_id):
        raise HTTPException(404, f"There is no fault {fault_id}.")
    return {}
