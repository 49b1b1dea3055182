"""The names that links give to files."""

import pytest

from api.documents import filename
from autos.records.models import Document


@pytest.mark.parametrize(
    ("name", "content_type", "saved_as"),
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
        (None, "application/rtf", "source-id.rtf"),
    ],
)
def test_a_name_keeps_the_ending_it_has_where_that_fits(
    name: str | None, content_type: str | None, saved_as: str
) -> None:
    row = Document(name=name, source_id="source-id", content_type=content_type)
    assert filename(row) == saved_as
