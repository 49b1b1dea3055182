"""Only documents of the very process on the source's own host (F38)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.source.listing.addresses import UnusableAddress, file_of, is_text, read_href, read_path

NUMBER = CaseNumber.parse("9990001-21.2024.4.03.6100")
ID = "0f5c8f6e-1111-5222-8333-444455556666"
TAIL = f"/processos/{NUMBER.masked}/documentos/{ID}/binario"
PATH = "/api/v2" + TAIL
BASE = "https://portal.example"


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
def test_what_is_asked(href: str) -> None:
    address = read_href(href, NUMBER, BASE)
    assert (address.path, address.document) == (PATH, ID)


def test_bare_digits_and_capitals() -> None:
    href = f"/processos/{NUMBER.digits}/documentos/{ID.upper()}/texto"
    assert read_href(href, NUMBER, BASE).document == ID


@pytest.mark.parametrize(
    "href",
    [
        "https://evil.example" + PATH,
        "http://portal.example" + PATH,
        "https://portal.example:8443" + PATH,
        "https://portal.example@evil.example" + PATH,
        "https://user:pass@portal.example" + PATH,
        "//evil.example" + PATH,
        "file:///etc/passwd",
        "https://portal.example.evil.example" + PATH,
        "\\\\evil.example" + PATH,
    ],
)
def test_another_host_is_foreign(href: str) -> None:
    with pytest.raises(UnusableAddress) as refused:
        read_href(href, NUMBER, BASE)
    assert refused.value.reason is Reason.FOREIGN_HOST


@pytest.mark.parametrize(
    "href",
    [
        "/api/v2/processos/../admin",
        TAIL.replace("documentos/", "documentos/../../"),
        TAIL.replace(ID, "%2e%2e"),
        TAIL.removesuffix("/binario"),
        f"/processos/{NUMBER.masked}/documentos/{ID}/binario/x",
        TAIL.replace(NUMBER.masked, "9990002-86.2024.8.26.0100"),
        TAIL.replace(NUMBER.masked, "9990001-22.2024.4.03.6100"),
        "/api/v1" + TAIL,
        "processos",
        "http://[::1",
    ],
)
def test_another_path_is_no_address(href: str) -> None:
    with pytest.raises(UnusableAddress) as refused:
        read_href(href, NUMBER, BASE)
    assert refused.value.reason is Reason.NO_ADDRESS


def test_the_text_of_a_document_is_told_from_its_file() -> None:
    """(S12) An address of the text is recognised, so that what it gives can be marked."""
    assert is_text(read_href(TAIL.replace("binario", "texto"), NUMBER, BASE).path)
    assert not is_text(PATH)


def test_an_id_leads_to_the_file() -> None:
    """(S14) The route of a document's file is known."""
    assert file_of(ID, NUMBER) == read_path(PATH)
    with pytest.raises(UnusableAddress):
        file_of("../x", NUMBER)


@given(st.text() | st.text().map(lambda text: TAIL + text) | st.text().map(lambda t: BASE + t))
def test_nothing_but_a_document_of_the_process_comes_out(href: str) -> None:
    try:
        address = read_href(href, NUMBER, BASE)
    except UnusableAddress:
        return
    assert address.path.startswith("/api/v2/processos/")
    assert read_path(address.path) == address
