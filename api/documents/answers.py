"""Document rows as answers. A link is minted when it is read, and never stored."""

from typing import Any, Final

from api import schemas
from api.object_store import ObjectStore
from autos.contracts.states import DocumentState, Doubt, Reason
from autos.filenames import DEFAULT_TYPE, filename
from autos.records.models import Document
from autos.store.object_keys import document_key

ENDED: Final = (DocumentState.AVAILABLE, DocumentState.FAILED)


def link(store: ObjectStore, row: Document) -> str | None:
    """An address that opens what is held of the document for a while; None if nothing is."""
    if row.sha256 is None:
        return None
    return store.link(
        document_key(row.process_number, row.sha256),
        filename(row.name or row.source_id, row.content_type),
        row.content_type or DEFAULT_TYPE,
    )


def status_of(
    row: Document, state: DocumentState, store: ObjectStore, retry_reason: Reason | None = None
) -> schemas.DocumentStatus:
    """A row as part of a status answer, in the state that the answer's counters count it in."""
    return schemas.DocumentStatus.model_construct(**_members(row, state, store, retry_reason))


def details_of(row: Document, store: ObjectStore) -> schemas.Document:
    """A row with all that is known of it."""
    return schemas.Document.model_construct(
        **_members(row, DocumentState(row.state), store, None),
        position=row.position,
        first_seen_at=row.first_seen_at,
        vanished_at=row.vanished_at,
        content_url=f"/api/v1/processes/{row.process_number}/documents/{row.id}/content",
    )


def _members(
    row: Document, state: DocumentState, store: ObjectStore, retry_reason: Reason | None
) -> dict[str, Any]:
    # What is stored is told only of a document that counts as ended in this very answer; of a
    # failed one it is the version before the one that could not be had.
    stored = state in ENDED and row.is_held
    reason = retry_reason
    if state in ENDED and row.reason is not None:
        reason = Reason(row.reason)
    doubt = Doubt(row.doubt) if state is DocumentState.AVAILABLE and row.doubt else None
    return {
        "id": row.id,
        "uuid": row.source_id,
        "name": row.name,
        "status": state,
        "size": row.size if stored else row.expected_size,
        "mime_type": (row.content_type if stored else None) or row.declared_type,
        "sha256": row.sha256 if stored else None,
        "download_url": link(store, row) if stored else None,
        "reason": reason,
        "error_message": reason.text if reason else None,
        "doubt": doubt,
        "doubt_message": doubt.text if doubt else None,
        "origin_id": row.origin_id,
        "sequence": row.sequence,
        "kind": row.kind,
        "kind_code": row.kind_code,
        "instance": row.instance,
        "secrecy": row.secrecy,
        "filed_at": row.filed_at,
        "source_order": row.source_order,
        "attempts": row.attempts,
        "download_started_at": row.started_at,
        "download_completed_at": row.completed_at if state in ENDED else None,
    }
