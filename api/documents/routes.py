"""Documents of a process, and the manifest that lists what became of each."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import schemas
from api.documents import answers as documents
from api.http import pagination
from api.http.auth import authenticated
from api.paths import Case, Cursor, Limit
from api.problems import (
    DOCUMENT_FAILED,
    DOCUMENT_GONE,
    DOCUMENT_PENDING,
    DOCUMENT_UNKNOWN,
    INVALID_CASE_NUMBER,
    INVALID_CURSOR,
    INVALID_REQUEST,
    MANIFEST_MISSING,
    PROCESS_UNKNOWN,
    RECORDS_UNAVAILABLE,
    STORE_UNAVAILABLE,
    UNAUTHORIZED,
    Problem,
    responses,
)
from api.services import Services, ServicesDependency
from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState, Reason
from autos.records import documents as rows
from autos.records import processes
from autos.records.models import Document
from autos.store.object_keys import manifest_key

router = APIRouter(tags=["documents"], dependencies=[authenticated])


@router.get(
    "/processes/{number}/documents",
    operation_id="list_documents",
    summary="Documents by position, as the records have them",
    responses=responses(
        INVALID_CASE_NUMBER,
        INVALID_CURSOR,
        INVALID_REQUEST,
        UNAUTHORIZED,
        PROCESS_UNKNOWN,
        RECORDS_UNAVAILABLE,
    ),
)
async def list_documents(
    case: Case,
    services: ServicesDependency,
    state: Annotated[DocumentState | None, Query(description="Only those in this state")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.DocumentPage:
    """Positions are those of the first reading of the source's list; later documents follow.

    `source_order` is where the source lists each now. While a job runs, its status is newer than
    this list by a moment.
    """
    async with services.records.transaction() as session:
        known = await processes.existing(session, case.digits)
        found = await rows.page(
            session,
            case.digits,
            state=state,
            start=pagination.position(cursor),
            limit=limit + 1,
        )
    if not known:
        raise Problem(PROCESS_UNKNOWN)
    listed, more = pagination.page(found, limit)
    return schemas.DocumentPage(
        items=[documents.details_of(row, services.store) for row in listed],
        next=pagination.encode(found[limit].position) if more else None,
    )


@router.get(
    "/processes/{number}/documents/{document_id}",
    operation_id="get_document",
    summary="One document, by our id or by the source's",
    responses=responses(
        INVALID_CASE_NUMBER, INVALID_REQUEST, UNAUTHORIZED, DOCUMENT_UNKNOWN, RECORDS_UNAVAILABLE
    ),
)
async def get_document(
    case: Case, document_id: uuid.UUID, services: ServicesDependency
) -> schemas.Document:
    """With a link minted now, if it is stored."""
    return documents.details_of(await _find(services, case, document_id), services.store)


@router.get(
    "/processes/{number}/documents/{document_id}/content",
    operation_id="get_document_content",
    summary="Redirects to a link to the document, minted now",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "The document is at `Location` for an hour"},
        **responses(
            INVALID_CASE_NUMBER,
            INVALID_REQUEST,
            UNAUTHORIZED,
            DOCUMENT_UNKNOWN,
            DOCUMENT_FAILED,
            DOCUMENT_GONE,
            DOCUMENT_PENDING,
            RECORDS_UNAVAILABLE,
        ),
    },
)
async def get_document_content(
    case: Case, document_id: uuid.UUID, services: ServicesDependency
) -> Response:
    """A client that follows redirects gets the bytes, straight from the store."""
    row = await _find(services, case, document_id)
    address = documents.link(services.store, row)
    if address is not None:
        return _redirect(address)
    if row.state == DocumentState.FAILED:
        detail = Reason(row.reason).text if row.reason else None
        raise Problem(DOCUMENT_FAILED, detail, reason=row.reason)
    if row.vanished_at is not None:
        raise Problem(DOCUMENT_GONE)
    raise Problem(DOCUMENT_PENDING, headers={"Retry-After": "5"})


@router.get(
    "/processes/{number}/manifest",
    operation_id="get_manifest",
    summary="Redirects to a link to what the newest ended job stored, and what failed and why",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "The manifest is at `Location` for an hour, as JSON"},
        **responses(
            INVALID_CASE_NUMBER,
            INVALID_REQUEST,
            UNAUTHORIZED,
            PROCESS_UNKNOWN,
            MANIFEST_MISSING,
            RECORDS_UNAVAILABLE,
            STORE_UNAVAILABLE,
        ),
    },
)
async def get_manifest(case: Case, services: ServicesDependency) -> Response:
    """A client that follows redirects gets the bytes that lie in the store beside the documents."""
    async with services.records.transaction() as session:
        known = await processes.existing(session, case.digits)
    if not known:
        raise Problem(PROCESS_UNKNOWN)
    key = manifest_key(case.digits)
    if not await services.store.holds(key):
        raise Problem(MANIFEST_MISSING)
    name = f"{case.masked}-manifest.json"
    return _redirect(services.store.link(key, name, "application/json"))


def _redirect(address: str) -> Response:
    return Response(status_code=307, headers={"Location": address, "Cache-Control": "no-store"})


async def _find(services: Services, case: CaseNumber, document_id: uuid.UUID) -> Document:
    async with services.records.transaction() as session:
        row = await rows.get(session, case.digits, document_id)
    if row is None:
        raise Problem(DOCUMENT_UNKNOWN)
    return row
