"""Only addresses of the process's documents on the source's host are valid (F38)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source.listing.addresses import CaseAddresses, UnusableAddress, is_text

NUMBER = CaseNumber.parse("9990001-21.2024.4.03.6100")
ID = "0f5c8f6e-1111-5222-8333-444455556666"
TAIL = f"/processos/{NUMBER.masked}/documentos/{ID}/binario"
PATH = "/api/v2" + TAIL
BASE = "https://portal.example"
ADDRESSES = CaseAddresses(NUMBER, BASE)


@pytest.mark.parametrize(
    "href",
    [
        TAIL,
        PATH,
        BASE + PATH,
        BASE + TAIL,
        "https://PORTAL.example:443" + PATH,
        f" {TAIL} ",
        TAIL + "?idDocumento=1",
    ],
)
def test_addresses_of_documents(href: str) -> None:
    address = ADDRESSES.from_href(href)
    assert (address.path, address.document) == (PATH, ID)


def test_bare_digits_and_capitals() -> None:
    href = f"/processos/{NUMBER.digits}/documentos/{ID.upper()}/texto"
    assert ADDRESSES.from_href(href).document == ID


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("https://evil.example" + PATH, Reason.FOREIGN_HOST),
        ("http://portal.example" + PATH, Reason.FOREIGN_HOST),
        ("https://portal.example:8443" + PATH, Reason.FOREIGN_HOST),
        ("https://portal.example@evil.example" + PATH, Reason.FOREIGN_HOST),
        ("https://user:pass@portal.example" + PATH, Reason.FOREIGN_HOST),
        ("//evil.example" + PATH, Reason.FOREIGN_HOST),
        ("file:///etc/passwd", Reason.FOREIGN_HOST),
        ("https://portal.example.evil.example" + PATH, Reason.FOREIGN_HOST),
        ("\\\\evil.example" + PATH, Reason.FOREIGN_HOST),
        ("/api/v2/processos/../admin", Reason.NO_ADDRESS),
        (TAIL.replace("documentos/", "documentos/../../"), Reason.NO_ADDRESS),
        (TAIL.replace(ID, "%2e%2e"), Reason.NO_ADDRESS),
        (TAIL.removesuffix("/binario"), Reason.NO_ADDRESS),
        (TAIL + "/x", Reason.NO_ADDRESS),
        (TAIL.replace(NUMBER.masked, "9990002-86.2024.8.26.0100"), Reason.NO_ADDRESS),
        (TAIL.replace(NUMBER.masked, "9990001-22.2024.4.03.6100"), Reason.NO_ADDRESS),
        ("/api/v1" + TAIL, Reason.NO_ADDRESS),
        ("processos", Reason.NO_ADDRESS),
        ("http://[::1", Reason.NO_ADDRESS),
    ],
)
def test_other_addresses_are_rejected(href: str, reason: Reason) -> None:
    with pytest.raises(UnusableAddress) as refused:
        ADDRESSES.from_href(href)
    assert refused.value.reason is reason


def test_address_of_a_text_is_recognised() -> None:
    """(S12) So its document can be marked."""
    assert is_text(ADDRESSES.from_href(TAIL.replace("binario", "texto")).path)
    assert not is_text(PATH)


def test_address_is_built_from_an_id() -> None:
    """(S14) The source's route of files is known."""
    assert ADDRESSES.file_of(ID) == ADDRESSES.from_path(PATH)
    with pytest.raises(UnusableAddress):
        ADDRESSES.file_of("../x")


@given(st.text() | st.text().map(lambda text: TAIL + text) | st.text().map(lambda t: BASE + t))
def test_valid_address_is_always_a_document_of_the_process(href: str) -> None:
    try:
        address = ADDRESSES.from_href(href)
    except UnusableAddress:
        return
    assert address.path.startswith("/api/v2/processos/")
    assert ADDRESSES.from_path(address.path) == address
