"""Documents as answers."""

import uuid
from typing import cast

import pytest

from api.documents.answers import document_answer, document_status
from autos.contracts.reasons import Doubt
from autos.contracts.states import DocumentState
from autos.records.models import Document, now
from autos.store import Store


class Links:
    """Mints links of no use."""

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
def test_a_doubt_is_shown_wherever_the_document_is(doubt: Doubt | None) -> None:
    """(S12) In the list, alone, and in the status; with a sentence."""
    document = row(DocumentState.AVAILABLE, doubt)
    for answer in (
        document_answer(document, STORE),
        document_status(document, DocumentState.AVAILABLE, STORE),
    ):
        assert (answer.doubt, answer.doubt_message) == (doubt, doubt.text if doubt else None)
        assert (answer.origin_id, answer.sequence, answer.source_order) == ("300000012", 12, 7)


def test_what_is_asked_for_again_is_in_no_doubt_until_it_is_stored() -> None:
    document = row(DocumentState.PENDING, Doubt.SIZE_MISMATCH)
    assert document_status(document, DocumentState.PENDING, STORE).doubt is None
