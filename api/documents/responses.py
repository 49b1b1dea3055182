"""Response models made of document rows. Links are made per response, and never stored."""

from typing import Final

from api.documents import schemas
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState
from autos.filenames import DEFAULT_TYPE, filename
from autos.records.models import Document
from autos.store import Store
from autos.store.object_keys import document_key

_ENDED: Final = (DocumentState.AVAILABLE, DocumentState.FAILED)


def document_link(store: Store, row: Document) -> str | None:
    """A URL that opens the stored bytes for a while; None if nothing is stored."""
    if row.sha256 is None:
        return None
    return store.link(
        document_key(row.process_number, row.sha256),
        filename(row.name or row.source_id, row.content_type),
        row.content_type or DEFAULT_TYPE,
    )


def document_status(
    row: Document, state: DocumentState, store: Store, retry_reason: Reason | None = None
) -> schemas.DocumentStatus:
    """The document in a status answer.

    Args:
        row: the document.
        state: the state in which the answer's counters count it; the row may be older or newer.
        store: makes the link.
        retry_reason: why the last attempt at a document that has not ended failed.
    """
    return schemas.DocumentStatus.of(row, **_members(row, state, store, retry_reason))


def document_answer(row: Document, store: Store) -> schemas.Document:
    """The document with its metadata."""
    return schemas.Document.of(
        row,
        **_members(row, DocumentState(row.state), store, None),
        content_url=f"/api/v1/processes/{row.process_number}/documents/{row.id}/content",
    )


def _members(
    row: Document, state: DocumentState, store: Store, retry_reason: Reason | None
) -> dict[str, object]:
    """The members that depend on the state; all others come from the row."""
    ended = state in _ENDED
    # Stored bytes are shown for an ended document only. For a failed one, they are an older
    # version.
    stored = ended and row.is_stored
    reason = Reason(row.reason) if ended and row.reason else retry_reason
    doubt = Doubt(row.doubt) if state is DocumentState.AVAILABLE and row.doubt else None
    return {
        "uuid": row.source_id,
        "status": state,
        "size": row.size if stored else row.expected_size,
        "mime_type": (row.content_type if stored else None) or row.declared_type,
        "sha256": row.sha256 if stored else None,
        "download_url": document_link(store, row) if stored else None,
        "reason": reason,
        "error_message": reason.text if reason else None,
        "doubt": doubt,
        "doubt_message": doubt.text if doubt else None,
        "download_started_at": row.started_at,
        "download_completed_at": row.completed_at if ended else None,
    }
