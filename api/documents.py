"""Document rows as answers. A link is minted when it is read, and never stored (DESIGN §7)."""

import mimetypes
from functools import lru_cache
from typing import Any, Final

from api import schemas
from api.store import Objects
from autos.contracts.states import DocumentState, Reason
from autos.records.models import Document
from autos.store.keys import document_key

DEFAULT_TYPE: Final = "application/octet-stream"
_USUAL_ENDINGS: Final = {DEFAULT_TYPE: "", "application/xml": ".xml"}
"""Where the standard library would add `.bin` to a good name, or take `.xsl` for the usual one."""
ENDED: Final = (DocumentState.AVAILABLE, DocumentState.FAILED)


def filename(row: Document) -> str:
    """The document's name, with the ending its content asks for unless it has one that fits."""
    name = row.name or row.source_id
    usual, *others = _endings(row.content_type or DEFAULT_TYPE)
    return name if name.lower().endswith((usual, *others)) else name + usual


@lru_cache(maxsize=256)
def _endings(content_type: str) -> list[str]:
    """The endings that fit a type, the usual one first; empty where any name will do."""
    usual = _USUAL_ENDINGS.get(content_type)
    if usual is None:
        usual = mimetypes.guess_extension(content_type, strict=False) or ""
    return [usual, *mimetypes.guess_all_extensions(content_type, strict=False)]


def link(store: Objects, row: Document) -> str | None:
    """An address that opens what is held of the document for a while; None if nothing is."""
    if row.sha256 is None:
        return None
    return store.link(
        document_key(row.process_number, row.sha256),
        filename(row),
        row.content_type or DEFAULT_TYPE,
    )


def status_of(
    row: Document, state: DocumentState, store: Objects, retry_reason: Reason | None = None
) -> schemas.DocumentStatus:
    """A row as part of a status answer, in the state that the answer's counters count it in."""
    return schemas.DocumentStatus.model_construct(**_members(row, state, store, retry_reason))


def details_of(row: Document, store: Objects) -> schemas.Document:
    """A row with all that is known of it."""
    return schemas.Document.model_construct(
        **_members(row, DocumentState(row.state), store, None),
        position=row.position,
        kind=row.kind,
        kind_code=row.kind_code,
        instance=row.instance,
        secrecy=row.secrecy,
        filed_at=row.filed_at,
        first_seen_at=row.first_seen_at,
        vanished_at=row.vanished_at,
        content_url=f"/api/v1/processes/{row.process_number}/documents/{row.id}/content",
    )


def _members(
    row: Document, state: DocumentState, store: Objects, retry_reason: Reason | None
) -> dict[str, Any]:
    # What is stored is told only of a document that counts as ended in this very answer; of a
    # failed one it is the version before the one that could not be had.
    stored = state in ENDED and row.is_held
    reason = retry_reason
    if state in ENDED and row.reason is not None:
        reason = Reason(row.reason)
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
        "attempts": row.attempts,
        "download_started_at": row.started_at,
        "download_completed_at": row.completed_at if state in ENDED else None,
    }
