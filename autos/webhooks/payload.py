"""Makes an event's body from the records, with links minted for this one attempt.

Counters say how the job ended; documents are told as they stand now, so that a replay after a later
job shows what can be had today.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState, Doubt, JobStatus, Reason
from autos.filenames import DEFAULT_TYPE, ending
from autos.records.deliveries import Order
from autos.records.models import Document
from autos.store.object_keys import document_key, manifest_key
from autos.webhooks.events import (
    LONGEST_LIST,
    EventDocument,
    FullData,
    FullEvent,
    ThinData,
    ThinEvent,
)

_PREFIX: Final = "process.download."


class Linker(Protocol):
    """Mints links; `autos.store.Store` does."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        """An address that opens the object for a while."""
        ...


def compose(order: Order, store: Linker, api_url: str) -> FullEvent | ThinEvent:
    """The event of a delivery.

    Args:
        order: the delivery with what it tells about.
        store: mints the links of a full payload.
        api_url: where clients reach this API; empty leaves links to it relative.
    """
    number = CaseNumber(order.job.process_number)
    base = f"{api_url.rstrip('/')}/api/v1/processes/{number.digits}"
    envelope: dict[str, Any] = {
        "type": order.delivery.type,
        "timestamp": order.delivery.created_at,
    }
    ending = _ending(order, number, base)
    if order.subscription.payload == "thin":
        return ThinEvent(**envelope, data=ThinData(**ending, manifest_url=f"{base}/manifest"))
    return FullEvent(
        **envelope,
        data=FullData(
            **ending,
            manifest_url=store.link(
                manifest_key(number.digits), f"{number.masked}-manifest.json", "application/json"
            ),
            documents=_documents(order.documents, number, store, base),
        ),
    )


def _ending(order: Order, number: CaseNumber, base: str) -> dict[str, Any]:
    job = order.job
    reason = Reason(job.reason) if job.reason else None
    return {
        "process_number": number.masked,
        "court": number.court,
        "job_id": job.id,
        # What this event was made for, whatever became of the job's row since.
        "status": JobStatus(order.delivery.type.removeprefix(_PREFIX)),
        "reason": reason,
        "error_message": reason.text if reason else None,
        "total_documents": job.total_documents,
        "completed_documents": job.available_documents,
        "doubtful_documents": job.doubtful_documents,
        "failed_documents": job.failed_documents,
        "bytes_stored": job.bytes_stored,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "status_url": f"{base}/status",
        "documents_url": f"{base}/documents",
    }


def _documents(
    rows: Sequence[Document], number: CaseNumber, store: Linker, base: str
) -> list[EventDocument] | None:
    if len(rows) > LONGEST_LIST:
        return None
    return [_document(row, number, store, base) for row in rows]


def _document(row: Document, number: CaseNumber, store: Linker, base: str) -> EventDocument:
    link = None
    if row.sha256 is not None:
        content_type = row.content_type or DEFAULT_TYPE
        # Names that people gave to files may name people.
        filename = f"{number.masked}-{row.position + 1:04}{ending(content_type)}"
        link = store.link(document_key(number.digits, row.sha256), filename, content_type)
    reason = Reason(row.reason) if row.reason else None
    doubt = Doubt(row.doubt) if row.is_available and row.doubt else None
    return EventDocument(
        id=row.id,
        uuid=row.source_id,
        origin_id=row.origin_id,
        position=row.position,
        source_order=row.source_order,
        sequence=row.sequence,
        kind=row.kind,
        kind_code=row.kind_code,
        instance=row.instance,
        secrecy=row.secrecy,
        filed_at=row.filed_at,
        status=DocumentState(row.state),
        size=row.size if link else row.expected_size,
        mime_type=row.content_type if link else row.declared_type,
        sha256=row.sha256 if link else None,
        download_url=link,
        content_url=f"{base}/documents/{row.id}/content",
        reason=reason,
        error_message=reason.text if reason else None,
        doubt=doubt,
        doubt_message=doubt.text if doubt else None,
    )
