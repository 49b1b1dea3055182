"""Cases: the truth about one, making one for a test, and letting time go by in one."""

import asyncio
import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from autos.cnj import CaseNumber, InvalidCaseNumber
from sandbox.cases import Case, Document
from sandbox.catalogue import AlreadyListed
from sandbox.shapes import Shape, make_case
from sandbox.world import World

router = APIRouter(prefix="/cases")


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


class NewCase(BaseModel):
    """The case to make."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = None
    documents: int = Field(ge=0, le=100_000)
    size_bytes: int | None = Field(default=None, ge=0, le=2**33)
    """Of every document; null for a mixture."""
    seed: int = 0
    shape: Shape = Shape.SIMPLE


class Change(BaseModel):
    """What happens to the case; documents by UUID, or by place in the list, 0 the newest."""

    model_config = ConfigDict(extra="forbid")

    add: int = Field(default=0, ge=0, le=1000)
    remove: str | int | None = None
    move: str | int | None = None
    replace: str | int | None = None


@router.get("")
async def list_cases(world: WorldOf) -> dict[str, str]:
    """The numbers of the catalogue by name."""
    return {name: number.masked for name, number in world.catalogue.names().items()}


@router.post("")
async def make(body: NewCase, world: WorldOf) -> dict[str, object]:
    """Make a case; one made before under the number is replaced."""
    try:
        number = CaseNumber.parse(body.number) if body.number else world.catalogue.free_number()
    except InvalidCaseNumber as error:
        raise HTTPException(422, str(error)) from error
    case = make_case(
        number, body.documents, shape=body.shape, size_bytes=body.size_bytes, seed=body.seed
    )
    try:
        world.catalogue.put(case)
    except AlreadyListed as error:
        raise HTTPException(409, str(error)) from error
    return await _truth(case)


@router.get("/{name_or_number}")
async def show(name_or_number: str, world: WorldOf) -> dict[str, object]:
    """The truth about a case, every document with its hash."""
    return await _truth(find_case(world, name_or_number))


@router.post("/{name_or_number}/change")
async def change(name_or_number: str, wanted: Change, world: WorldOf) -> dict[str, object]:
    """Let time go by in a case."""
    case = find_case(world, name_or_number)
    named = [
        None if document is None else find_document(case, document)
        for document in (wanted.remove, wanted.move, wanted.replace)
    ]
    case.change(wanted.add, *named)
    return await _truth(case)


async def _truth(case: Case) -> dict[str, object]:
    # Hashing a large file takes a second, in which others are to be served.
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
