"""What the control routes have in common: the world, and finding a case in it."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from sandbox.cases import Case
from sandbox.world import World


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


WorldOf = Annotated[World, Depends(_world)]


def find_case(world: World, name_or_number: str) -> Case:
    """The case of that name or number.

    Raises:
        HTTPException: 404, it is unknown.
    """
    case = world.catalogue.find(name_or_number)
    if case is None:
        raise HTTPException(404, f"There is no case {name_or_number}.")
    return case


def find_document(case: Case, document: str | int) -> str:
    """The UUID of a document given by it, or by its place in the list, 0 the newest.

    Raises:
        HTTPException: 404, the case has none such.
    """
    uuids = list(case.documents)
    if isinstance(document, int):
        if 0 <= document < len(uuids):
            return uuids[document]
    elif document.lower() in case.documents:
        return document.lower()
    raise HTTPException(404, f"The case {case.number} has no document {document}.")
