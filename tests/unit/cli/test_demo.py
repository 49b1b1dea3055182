"""The demo's verdict: it finds what is wrong."""

from hashlib import sha256

import httpx2
import pytest

from autos.cnj import CaseNumber
from autos.contracts.states import DocumentState
from cli.answers import Document
from cli.client import ApiClient
from cli.demo import AVAILABLE, FAILING, Findings, Scene, judge, open_a_link
from tests.unit.cli.fake_api import NUMBER

CONTENT = b"%PDF-1.7"


def documents(available: int = AVAILABLE, reason: str | None = "secret") -> list[Document]:
    held = [
        Document(
            id=str(n),
            status=DocumentState.AVAILABLE,
            sha256=sha256(CONTENT).hexdigest(),
            download_url="http://s3/d",
        )
        for n in range(available)
    ]
    failed = [Document(id="f", status=DocumentState.FAILED, reason=reason)] * FAILING
    return held + failed


def test_all_as_it_must_be() -> None:
    assert judge(documents()) == []


def test_a_missing_document_is_told() -> None:
    assert judge(documents(available=40)) == ["The list shows 40 documents as available, not 41."]


def test_a_failure_without_a_reason_is_told() -> None:
    assert judge(documents(reason=None)) == ["Document f failed without a reason."] * 2


@pytest.mark.parametrize(
    ("content", "code", "wrong"),
    [(CONTENT, 200, None), (b"else", 200, "SHA-256"), (CONTENT, 403, "HTTP 403")],
)
async def test_a_link_is_opened_and_its_hash_compared(
    client: ApiClient, content: bytes, code: int, wrong: str | None
) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(code, content=content))
    async with httpx2.AsyncClient(transport=transport) as http:
        scene = Scene(client, http, CaseNumber.parse(NUMBER), "http://sandbox")
        findings = Findings(documents=documents())
        await open_a_link(scene, findings)
    assert len(findings.wrong) == (wrong is not None)
    assert wrong is None or wrong in findings.wrong[0]
