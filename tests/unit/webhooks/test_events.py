"""The body of events, full and thin, and its published schema."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from autos.contracts.reasons import Doubt, Reason
from autos.contracts.states import DocumentState
from autos.records.deliveries import DeliveryContext
from autos.records.models import Delivery, Document, Job, Subscription
from autos.webhooks.events import MAX_DOCUMENTS, FullEvent, TestEvent, ThinEvent, compose, encode

DIGITS = "99900028620248260100"
SHA256 = "5e" * 32
NOW = datetime(2026, 11, 24, 3, 45, 1, 120000, tzinfo=UTC)
SCHEMAS = Path(__file__).parents[3] / "docs" / "reference" / "webhook-schemas"
PARTY = "João da Silva"


class Links:
    """Creates links and records their objects."""

    def __init__(self) -> None:
        self.minted: list[tuple[str, str, str]] = []

    def link(self, key: str, filename: str, content_type: str) -> str:
        self.minted.append((key, filename, content_type))
        return f"https://store.example/{key}?X-Amz-Signature={len(self.minted)}"


def document(position: int, state: DocumentState = DocumentState.AVAILABLE) -> Document:
    stored = state is DocumentState.AVAILABLE
    return Document(
        id=uuid.uuid4(),
        process_number=DIGITS,
        position=position,
        source_id=str(uuid.uuid4()),
        name=f"Procuração de {PARTY}.pdf",
        kind="Procuração",
        origin_id="300000012",
        source_order=7,
        sequence=12,
        kind_code=161,
        instance="G1",
        secrecy="PUBLICO",
        filed_at=NOW,
        state=state,
        reason=None if stored else Reason.SECRET,
        sha256=SHA256 if stored else None,
        size=1000 if stored else None,
        expected_size=1000,
        content_type="application/pdf" if stored else None,
        declared_type="application/pdf",
    )


def a_context(
    documents: list[Document], payload: str = "full", status: str = "completed"
) -> DeliveryContext:
    return DeliveryContext(
        delivery=Delivery(id="evt_1", type=f"process.download.{status}", created_at=NOW),
        subscription=Subscription(url="https://receiver.example/?token=1", payload=payload),
        job=Job(
            id="job-1",
            process_number=DIGITS,
            status=status,
            reason=None,
            total_documents=len(documents),
            available_documents=len(documents),
            doubtful_documents=0,
            failed_documents=0,
            bytes_stored=1000,
            started_at=NOW,
            completed_at=NOW,
        ),
        documents=documents,
    )


def body(context: DeliveryContext, links: Links | None = None) -> dict[str, Any]:
    event = compose(context, links or Links(), "https://autos.example/")
    decoded: dict[str, Any] = json.loads(encode(event))
    return decoded


def test_full_payload_has_links_and_failures() -> None:
    links = Links()
    sent = body(a_context([document(0), document(1, DocumentState.FAILED)]), links)
    assert sent["type"] == "process.download.completed"
    assert sent["timestamp"] == "2026-11-24T03:45:01.120000Z"
    data = sent["data"]
    assert data["process_number"] == "9990002-86.2024.8.26.0100"
    assert data["manifest_url"].startswith(
        f"https://store.example/processes/{DIGITS}/manifest.json?"
    )
    base = f"https://autos.example/api/v1/processes/{DIGITS}"
    assert data["status_url"] == f"{base}/status"
    stored, failed = data["documents"]
    assert stored["download_url"].startswith(f"https://store.example/processes/{DIGITS}/{SHA256}?")
    assert stored["sha256"] == SHA256
    assert stored["content_url"] == f"{base}/documents/{stored['id']}/content"
    assert failed["download_url"] is failed["sha256"] is None
    assert failed["reason"] == "secret"
    assert failed["error_message"]
    assert links.minted[1][1:] == ("9990002-86.2024.8.26.0100-0001.pdf", "application/pdf")


def test_document_has_the_courts_ids_and_its_doubt() -> None:
    """(S12) A text in place of a file is marked; the court's id identifies the document."""
    text_only = document(0)
    text_only.doubt = Doubt.TEXT_ONLY
    context = a_context([text_only, document(1)])
    context.job.doubtful_documents = 1
    data = body(context)["data"]
    assert data["doubtful_documents"] == 1
    doubtful, sound = data["documents"]
    assert (doubtful["doubt"], doubtful["doubt_message"]) == ("text_only", Doubt.TEXT_ONLY.text)
    assert (sound["doubt"], sound["doubt_message"]) == (None, None)
    known = {"origin_id": "300000012", "sequence": 12, "source_order": 7, "kind_code": 161}
    known |= {"instance": "G1", "secrecy": "PUBLICO", "filed_at": "2026-11-24T03:45:01.120000Z"}
    assert doubtful | known == doubtful


def test_payload_has_no_names_given_by_people() -> None:
    links = Links()
    for payload in ("full", "thin"):
        sent = json.dumps(body(a_context([document(0)], payload), links), ensure_ascii=False)
        assert PARTY not in sent
        assert "receiver.example" not in sent
    assert PARTY not in str(links.minted)


def test_thin_payload_has_no_signed_links() -> None:
    links = Links()
    sent = body(a_context([], "thin"), links)
    assert links.minted == []
    assert "documents" not in sent["data"]
    addresses = [value for value in sent["data"].values() if "://" in str(value)]
    assert len(addresses) == 3
    assert all(address.startswith("https://autos.example/api/v1/") for address in addresses)


@pytest.mark.parametrize(("count", "listed"), [(MAX_DOCUMENTS, True), (MAX_DOCUMENTS + 1, False)])
def test_payload_of_a_long_case_links_only_the_manifest(count: int, listed: bool) -> None:
    data = body(a_context([document(position) for position in range(count)]))["data"]
    assert (data["documents"] is not None) is listed
    assert data["manifest_url"]
    assert data["documents_url"]


def test_event_keeps_its_status_regardless_of_the_jobs_row() -> None:
    context = a_context([], status="cancelled")
    context.job.status = "completed"
    assert body(context)["data"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("name", "event"),
    [("full", FullEvent), ("thin", ThinEvent), ("test", TestEvent)],
)
def test_published_schema_matches_the_model(name: str, event: type[Any]) -> None:
    """After a change: `python -m tests.unit.webhooks.schemas`."""
    published = json.loads((SCHEMAS / f"{name}.json").read_text())
    assert published == TypeAdapter(event).json_schema(mode="serialization")
