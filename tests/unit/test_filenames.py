"""File names in links and manifests."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.filenames import DEFAULT_TYPE, ending, filename
from autos.source.replies.content_types import content_type

TYPES = (
    "application/pdf",
    "text/html",
    "text/plain",
    "message/rfc822",
    "application/rtf",
    "application/msword",
    "application/zip",
    "application/xml",
    "application/pkcs7-signature",
    "image/jpeg",
    "image/tiff",
    "image/svg+xml",
    "audio/mpeg",
    "video/mp4",
    "video/webm",
)
NAMES = st.text(alphabet=string.ascii_letters + "çã .-_(1)", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("name", "kind", "saved_as"),
    [
        ("Petição Inicial.pdf", "application/pdf", "Petição Inicial.pdf"),
        ("Petição Inicial.PDF", "application/pdf", "Petição Inicial.PDF"),
        ("Foto.jpeg", "image/jpeg", "Foto.jpeg"),
        ("Página.htm", "text/html", "Página.htm"),
        ("Nota fiscal.xml", "application/xml", "Nota fiscal.xml"),
        ("Dados.dbf", "application/octet-stream", "Dados.dbf"),
        ("Dados", None, "Dados"),
        ("Sem extensão", "application/pdf", "Sem extensão.pdf"),
        ("Nota fiscal", "application/xml", "Nota fiscal.xml"),
        ("Certidão.pdf", "text/plain", "Certidão.pdf.txt"),
        ("source-id", "application/rtf", "source-id.rtf"),
        ("Correspondência.eml", "message/rfc822", "Correspondência.eml"),
        ("Correspondência.eml", "text/plain", "Correspondência.eml"),
        ("Planilha.csv", "text/plain", "Planilha.csv"),
        ("Planta.svg", "image/svg+xml", "Planta.svg"),
        ("Planta.svg", "application/xml", "Planta.svg"),
        ("Contrato", ".docx", "Contrato.docx"),
        ("Contrato.docx", "application/zip", "Contrato.docx"),
        ("Audiência.mov", "video/mp4", "Audiência.mov"),
        ("Assinatura.p7s", "application/pkcs7-signature", "Assinatura.p7s"),
    ],
)
def test_name_keeps_its_extension_if_it_fits(name: str, kind: str | None, saved_as: str) -> None:
    """(S15) An `.eml` that is plain text stays an `.eml`, a drawing stays an `.svg`."""
    if kind == ".docx":
        kind = content_type(b"PK\x03\x04 word/")
    assert filename(name, kind) == saved_as


@given(NAMES, st.sampled_from(TYPES), st.sampled_from([ending(kind) for kind in TYPES]))
def test_at_most_one_extension_is_added(stem: str, kind: str, other: str) -> None:
    """(S15) It is never doubled."""
    for name in (stem, stem + other, stem + ending(kind), (stem + ending(kind)).upper()):
        saved_as = filename(name, kind)
        assert saved_as in (name, name + ending(kind))
        assert filename(saved_as, kind) == saved_as
        assert not saved_as.lower().endswith(ending(kind) * 2) or saved_as == name
    assert filename(stem + ending(kind), kind) == stem + ending(kind)
    assert filename(stem, DEFAULT_TYPE) == stem


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_has_an_extension(kind: str) -> None:
    assert ending(kind).startswith(".")
