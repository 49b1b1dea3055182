"""Routes of a process's documents, and of the manifest that lists them with their outcomes."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.documents import schemas
from api.documents.responses import document_answer, document_link
from api.http import pagination
from api.http.auth import authenticated
from api.http.parameters import Case, Cursor, Limit
from api.problems import (
    DOCUMENT_FAILED,
    DOCUMENT_GONE,
    DOCUMENT_PENDING,
    DOCUMENT_UNKNOWN,
    MANIFEST_MISSING,
    PROCESS_UNKNOWN,
    STORE_UNAVAILABLE,
    Problem,
    responses,
)
from api.services import Services, ServicesDependency
from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.contracts.states import DocumentState
from autos.records import documents, processes
from autos.records.models import Document
from autos.store.object_keys import manifest_key

router = APIRouter(tags=["documents"], dependencies=[authenticated])


@router.get(
    "/processes/{number}/documents",
    operation_id="list_documents",
    summary="List documents by position",
    responses=responses(PROCESS_UNKNOWN),
)
async def list_documents(
    case: Case,
    services: ServicesDependency,
    state: Annotated[
        DocumentState | None, Query(description="Only documents in this state")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.DocumentPage:
    """Positions follow the source's list when it was first read; later documents are appended.

    `source_order` is the document's index in the source's current list. While a job is running,
    this list may be slightly behind its status.
    """
    start = pagination.position(cursor)
    async with services.records.transaction() as session:
        if not await processes.existing(session, case.digits):
            raise Problem(PROCESS_UNKNOWN)
        rows = await documents.page(
            session,
            case.digits,
            state=state,
            start=start,
            limit=limit + 1,
        )
    listed, following = pagination.cut(rows, limit, lambda row: (row.position + 1,))
    return schemas.DocumentPage(
        items=[document_answer(row, services.store) for row in listed], next=following
    )


@router.get(
    "/processes/{number}/documents/{document_id}",
    operation_id="get_document",
    summary="Retrieve a document, by its id here or at the source",
    responses=responses(DOCUMENT_UNKNOWN),
)
async def get_document(
    case: Case, document_id: uuid.UUID, services: ServicesDependency
) -> schemas.Document:
    """Has a new download link, if the document is stored."""
    return document_answer(await _find(services, case, document_id), services.store)


@router.get(
    "/processes/{number}/documents/{document_id}/content",
    operation_id="get_document_content",
    summary="Redirect to a new download link of the document",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "The document is available at `Location` for an hour"},
        **responses(DOCUMENT_UNKNOWN, DOCUMENT_FAILED, DOCUMENT_GONE, DOCUMENT_PENDING),
    },
)
async def get_document_content(
    case: Case, document_id: uuid.UUID, services: ServicesDependency
) -> Response:
    """A client that follows redirects downloads the document from the object store."""
    row = await _find(services, case, document_id)
    url = document_link(services.store, row)
    if url is not None:
        return _redirect(url)
    if row.state == DocumentState.FAILED:
        detail = Reason(row.reason).text if row.reason else None
        raise Problem(DOCUMENT_FAILED, detail, reason=row.reason)
    if row.vanished_at is not None:
        raise Problem(DOCUMENT_GONE)
    raise Problem(DOCUMENT_PENDING, headers={"Retry-After": "5"})


@router.get(
    "/processes/{number}/manifest",
    operation_id="get_manifest",
    summary="Redirect to a new download link of the manifest",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "The manifest is available at `Location` for an hour, as JSON"},
        **responses(PROCESS_UNKNOWN, MANIFEST_MISSING, STORE_UNAVAILABLE),
    },
)
async def get_manifest(case: Case, services: ServicesDependency) -> Response:
    """The manifest lists what the newest ended job stored, and what failed and why."""
    async with services.records.transaction() as session:
        if not await processes.existing(session, case.digits):
            raise Problem(PROCESS_UNKNOWN)
    key = manifest_key(case.digits)
    if await services.store.head(key) is None:
        raise Problem(MANIFEST_MISSING)
    name = f"{case.masked}-manifest.json"
    return _redirect(services.store.link(key, name, "application/json"))


def _redirect(url: str) -> Response:
    return Response(status_code=307, headers={"Location": url, "Cache-Control": "no-store"})


async def _find(services: Services, case: CaseNumber, document_id: uuid.UUID) -> Document:
    async with services.records.transaction() as session:
        row = await documents.get(session, case.digits, document_id)
    if row is None:
        raise Problem(DOCUMENT_UNKNOWN)
    return row
