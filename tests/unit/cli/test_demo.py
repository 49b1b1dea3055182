"""The demo reports failures in bounded time."""

from hashlib import sha256

import httpx2
import pytest

from api.documents.schemas import DOCUMENT, FAILED_DOCUMENT, Document
from autos.cnj import CaseNumber
from cli.client import ApiClient, parse
from cli.demo import (
    AVAILABLE,
    FAILING,
    Demo,
    check_documents,
)
from cli.stack.environment import SANDBOX_TOKEN
from cli.terminal import CommandError
from tests.unit.cli.fake_api import NUMBER, FakeApi, status

CONTENT = b"%PDF-1.7"


def documents(available: int = AVAILABLE, reason: str | None = "secret") -> list[Document]:
    digest = sha256(CONTENT).hexdigest()
    stored = parse(Document, DOCUMENT | {"sha256": digest, "download_url": "http://s3/d"})
    failed = parse(Document, DOCUMENT | FAILED_DOCUMENT | {"reason": reason})
    return [stored] * available + [failed] * FAILING


def test_expected_documents_pass() -> None:
    assert check_documents(documents()) == []


def test_missing_document_is_reported() -> None:
    assert check_documents(documents(available=40)) == [
        "The list shows 40 documents as available, not 41."
    ]


def test_failure_without_a_reason_is_reported() -> None:
    assert (
        check_documents(documents(reason=None))
        == [f"Document {FAILED_DOCUMENT['id']} failed without a reason."] * 2
    )


@pytest.mark.parametrize(
    ("content", "code", "wrong"),
    [(CONTENT, 200, None), (b"else", 200, "SHA-256"), (CONTENT, 403, "HTTP 403")],
)
async def test_hash_of_a_linked_file_is_compared(
    client: ApiClient, content: bytes, code: int, wrong: str | None
) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(code, content=content))
    async with httpx2.AsyncClient(transport=transport) as http:
        demo = Demo(client, http, CaseNumber.parse(NUMBER), "http://sandbox")
        demo.documents = documents()
        await demo.open_a_link()
    assert len(demo.failures) == (wrong is not None)
    assert wrong is None or wrong in demo.failures[0]


@pytest.mark.parametrize(
    ("waiting_for", "remedy"),
    [
        ("credential", "autos credentials set"),
        ("source", "http://sandbox/control/reset"),
        ("operator", "autos jobs resume job-1"),
        (None, "autos doctor"),
    ],
)
async def test_job_without_progress_ends_the_demo_with_advice(
    client: ApiClient, fake: FakeApi, waiting_for: str | None, remedy: str
) -> None:
    """(S35) For any wait; changed times alone are no progress."""
    times = [f"2026-01-01T00:00:{second:02}Z" for second in range(60)]
    fake.statuses = [
        status(waiting_for=waiting_for, next_try_at=time, job_id="job-1") for time in times
    ]
    async with httpx2.AsyncClient() as http:
        demo = Demo(client, http, CaseNumber.parse(NUMBER), "http://sandbox")
        with pytest.raises(CommandError) as given_up:
            await demo.follow(stall_seconds=0.3)
    assert remedy in str(given_up.value)
    assert "has made no progress" in str(given_up.value)
    assert given_up.value.exit_code == 1


async def test_demo_sets_the_sandboxs_credential_first(client: ApiClient, fake: FakeApi) -> None:
    """(S35) Its job must not wait because of a credential of an earlier run."""
    fake.statuses = [status("completed")]
    async with httpx2.AsyncClient() as http:
        demo = Demo(client, http, CaseNumber.parse(NUMBER), "http://sandbox")
        await demo.download()
    assert fake.bodies[0] == {"access_token": SANDBOX_TOKEN}
    first, *_ = fake.requests
    assert first == "PUT /api/v1/credentials/pdpj"
