"""The manifest that ends each job: what the source lists, what is stored, what failed and why.

Count listed = stored + failed with a reason; the manifest is the proof (U5). It holds no links:
those are minted when they are read.
"""

import json
from collections.abc import Sequence

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState, JobStatus, Reason
from autos.records.models import Document, now
from autos.store.keys import document_key


def manifest(
    number: CaseNumber, job_id: str, status: JobStatus, documents: Sequence[Document]
) -> bytes:
    """The manifest as UTF-8 JSON."""
    states = [document.state for document in documents]
    return json.dumps(
        {
            "process_number": number.masked,
            "court": number.court,
            "job_id": job_id,
            "status": status,
            "created_at": now().isoformat(),
            "total_documents": len(documents),
            "available_documents": states.count(DocumentState.AVAILABLE),
            "failed_documents": states.count(DocumentState.FAILED),
            "documents": [_entry(number.digits, document) for document in documents],
        },
        ensure_ascii=False,
        indent=1,
    ).encode()


def _entry(digits: str, document: Document) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": str(document.id),
        "source_id": document.source_id,
        "position": document.position,
        "name": document.name,
        "status": document.state,
        "attempts": document.attempts,
    }
    if document.sha256 is not None:
        entry |= {
            "key": document_key(digits, document.sha256),
            "sha256": document.sha256,
            "size": document.size,
            "content_type": document.content_type,
        }
    if document.reason is not None:
        entry |= {"reason": document.reason, "message": Reason(document.reason).text}
    if document.vanished_at is not None:
        entry["vanished_at"] = document.vanished_at.isoformat()
    return entry
