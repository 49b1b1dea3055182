"""The manifest: its content, and writing it in pieces off the event loop."""

import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from activities.manifest import Manifest
from autos.cnj import CaseNumber
from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState, JobStatus
from autos.records.models import Document, Process
from autos.records.movements import Movement, ids_by_source, read

NUMBER = CaseNumber.parse("9990002-86.2024.8.26.0100")
FILED_AT = datetime(2024, 1, 10, 12, 8, 52, tzinfo=UTC)
SHA256 = "5e" * 32


def document(position: int, **more: Any) -> Document:
    return Document(
        **{
            "id": uuid.uuid4(),
            "process_number": NUMBER.digits,
            "position": position,
            "source_id": str(uuid.uuid4()),
            "alternate_ids": [],
            "origin_id": f"3{position:08}",
            "source_order": position,
            "sequence": position,
            "name": "Petição.pdf",
            "kind": "Petição",
            "kind_code": 57,
            "instance": "G1",
            "secrecy": "PUBLICO",
            "filed_at": FILED_AT,
            "state": DocumentState.AVAILABLE,
            "attempts": 1,
            "sha256": SHA256,
            "size": 10,
            "content_type": "application/pdf",
        }
        | more
    )


def manifest(documents: Sequence[Document], *movements: Movement) -> Manifest:
    process = Process(
        number=NUMBER.digits,
        court="TJSP",
        class_name="Procedimento Comum Cível",
        subjects=["Indenização"],
        judging_body="1ª Vara",
        secrecy_level=0,
        filed_at=FILED_AT,
        fetched_at=FILED_AT,
    )
    status = JobStatus.COMPLETED_WITH_FAILURES
    return Manifest(NUMBER, process, "job", status, documents, movements)


async def text(made: Manifest) -> bytes:
    return b"".join([piece async for piece in made.pieces()])


async def test_manifest_describes_the_case_and_its_documents() -> None:
    """(S12) With the court's ids, doubts and movements."""
    stored, doubtful, failed = (
        document(0),
        document(1, doubt=Doubt.TEXT_ONLY, content_type="text/plain"),
        document(2, state=DocumentState.FAILED, reason=Reason.SECRET, sha256=None, size=None),
    )
    kept = {"at": FILED_AT.isoformat(), "text": "Juntada", "document_id": doubtful.source_id}
    movement = read(kept, 0, ids_by_source([stored, doubtful, failed]))
    made = manifest([stored, doubtful, failed], movement)
    manifest_json = json.loads(await text(made))
    assert manifest_json["process_number"] == NUMBER.masked
    assert (manifest_json["class_name"], manifest_json["subjects"]) == (
        "Procedimento Comum Cível",
        ["Indenização"],
    )
    assert (manifest_json["judging_body"], manifest_json["secrecy_level"]) == ("1ª Vara", 0)
    assert manifest_json["filed_at"] == FILED_AT.isoformat()
    counters = [
        manifest_json[f"{name}_documents"] for name in ("total", "available", "doubtful", "failed")
    ]
    assert counters == [3, 2, 1, 1]
    first, second, third = manifest_json["documents"]
    assert (first["origin_id"], first["sequence"], first["kind_code"]) == ("300000000", 0, 57)
    assert (first["filename"], second["filename"]) == ("Petição.pdf", "Petição.pdf.txt")
    assert "doubt" not in first
    assert (second["doubt"], second["doubt_message"]) == ("text_only", Doubt.TEXT_ONLY.text)
    assert (third["reason"], "key" in third) == ("secret", False)
    (moved,) = manifest_json["movements"]
    assert (moved["text"], moved["at"]) == ("Juntada", FILED_AT.isoformat())
    assert moved["document_id"] == str(doubtful.id)


class Watched(list[Document]):
    """Documents that record the threads that read them."""

    readers: set[int]

    def __iter__(self) -> Iterator[Document]:
        for each in super().__iter__():
            self.readers.add(threading.get_ident())
            yield each


async def test_manifest_is_written_in_pieces_and_off_the_event_loop() -> None:
    """(S29) A long case neither fills the memory nor blocks the event loop."""
    documents = Watched(document(position) for position in range(3_000))
    documents.readers = set()
    made = manifest(documents)
    pieces = [piece async for piece in made.pieces()]
    assert len(pieces) > 5
    assert max(len(piece) for piece in pieces) < 1024 * 1024
    assert threading.get_ident() not in documents.readers
    assert len(json.loads(b"".join(pieces))["documents"]) == 3_000
    assert await text(made) == b"".join(pieces)


async def test_process_without_documents_or_metadata_has_a_manifest() -> None:
    made = Manifest(NUMBER, None, "job", JobStatus.CANCELLED, [], [])
    manifest_json = json.loads(await text(made))
    assert (manifest_json["documents"], manifest_json["movements"], manifest_json["court"]) == (
        [],
        [],
        "TJSP",
    )
