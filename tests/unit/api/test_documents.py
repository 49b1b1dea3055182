"""Documents in responses."""

import uuid
from typing import cast

import pytest

from api.documents.responses import document_answer, document_status
from autos.contracts.reasons import Doubt
from autos.contracts.states import DocumentState
from autos.records.models import Document, now
from autos.store import Store


class Links:
    """Creates dummy links."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        return f"https://store.example/{key}"


STORE = cast(Store, Links())


def row(state: DocumentState, doubt: Doubt | None) -> Document:
    return Document(
        id=uuid.uuid4(),
        process_number="99900028620248260100",
        position=3,
        source_id=str(uuid.uuid4()),
        origin_id="300000012",
        sequence=12,
        source_order=7,
        state=state,
        doubt=doubt,
        sha256="5e" * 32,
        size=10,
        attempts=1,
        first_seen_at=now(),
    )


@pytest.mark.parametrize("doubt", [None, *Doubt])
def test_doubt_is_shown_in_every_response(doubt: Doubt | None) -> None:
    """(S12) In the list, in the document and in the status, with a message."""
    document = row(DocumentState.AVAILABLE, doubt)
    for answer in (
        document_answer(document, STORE),
        document_status(document, DocumentState.AVAILABLE, STORE),
    ):
        assert (answer.doubt, answer.doubt_message) == (doubt, doubt.text if doubt else None)
        assert (answer.origin_id, answer.sequence, answer.source_order) == ("300000012", 12, 7)


def test_pending_document_shows_no_doubt() -> None:
    document = row(DocumentState.PENDING, Doubt.SIZE_MISMATCH)
    assert document_status(document, DocumentState.PENDING, STORE).doubt is None
