"""The manifest that ends each job: the process, its documents and its movements, as JSON.

The manifest makes a bucket readable without the service: it has every listed document, with its key
or the reason for its failure. It has no links, because links expire. It is written in pieces and
off the event loop, so a case of 100,000 documents neither fills the memory nor delays other jobs.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from autos.cnj import CaseNumber
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.document_metadata import facts_of
from autos.filenames import filename
from autos.records.models import Document, Process, now
from autos.records.movements import Movement
from autos.store.object_keys import document_key

_LINES: Final = 500
"""Documents or movements in one piece: about 300 KB."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a job that ends, as text for `Store.put_json`.

    Args:
        case: the case number.
        process: None when it was purged during the job.
        job_id: of the job.
        status: how the job ended.
        documents: all of them, by position; their rows must not change any more.
        movements: all of them, in the order in which they are listed.
    """

    case: CaseNumber
    process: Process | None
    job_id: str
    status: JobStatus
    documents: Sequence[Document]
    movements: Sequence[Movement]
    created_at: datetime = field(default_factory=now)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The text in UTF-8; every call yields the same pieces from the start."""
        lines = self._lines()
        while piece := await asyncio.to_thread(_joined, lines):
            yield piece

    def _lines(self) -> Iterator[str]:
        yield json.dumps(self._head(), ensure_ascii=False, indent=1, default=_text)[: -len("\n}")]
        yield from _list("documents", (self._document(row) for row in self.documents))
        yield from _list("movements", iter(self.movements))
        yield "\n}\n"

    def _head(self) -> dict[str, object]:
        states = Counter(document.state for document in self.documents)
        head: dict[str, object] = {
            "process_number": self.case.masked,
            "court": self.case.court,
            "job_id": self.job_id,
            "status": self.status,
            "created_at": self.created_at,
        }
        if (process := self.process) is not None:
            head |= {
                "class_name": process.class_name,
                "subjects": process.subjects,
                "judging_body": process.judging_body,
                "secrecy_level": process.secrecy_level,
                "filed_at": process.filed_at,
                "fetched_at": process.fetched_at,
            }
        doubtful = sum(row.is_available and row.doubt is not None for row in self.documents)
        return head | {
            "total_documents": len(self.documents),
            "available_documents": states[DocumentState.AVAILABLE],
            "doubtful_documents": doubtful,
            "failed_documents": states[DocumentState.FAILED],
        }

    def _document(self, row: Document) -> dict[str, object]:
        entry: dict[str, object] = {
            **facts_of(row),
            "source_id": row.source_id,
            "position": row.position,
            "name": row.name,
            "status": row.state,
            "attempts": row.attempts,
        }
        if row.sha256 is not None:
            entry |= {
                "key": document_key(self.case.digits, row.sha256),
                "filename": filename(row.name or row.source_id, row.content_type),
                "sha256": row.sha256,
                "size": row.size,
                "content_type": row.content_type,
            }
        if row.is_available and row.doubt is not None:
            entry |= {"doubt": row.doubt, "doubt_message": Doubt(row.doubt).text}
        if row.reason is not None:
            entry |= {"reason": row.reason, "message": Reason(row.reason).text}
        if row.vanished_at is not None:
            entry["vanished_at"] = row.vanished_at
        return entry


def _list(name: str, entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Another member of the object, one line per entry."""
    yield f',\n "{name}": ['
    separator = "\n  "
    for entry in entries:
        yield separator + json.dumps(entry, ensure_ascii=False, default=_text)
        separator = ",\n  "
    yield "\n ]"


def _joined(lines: Iterator[str]) -> bytes:
    return "".join(islice(lines, _LINES)).encode()


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
