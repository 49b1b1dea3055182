"""Real files whose text or form resembles error pages; all synthetic.

Each row: a name, the body, the listed type, the detected type.
"""

import io
import json
import zipfile
from email.message import EmailMessage
from typing import Final

from autos.source.replies.content_types import DOCX, PDF, XLSX
from tests.unit.source.stand_ins import page

_SSO = "https://sso.cloud.pje.jus.br/auth/realms/pje/protocol/openid-connect/auth?client_id=x"
_HTML = "text/html"


def pdf(words: str = "", filling: int = 0) -> bytes:
    """A PDF with a valid beginning and end."""
    body = f"%PDF-1.7\n1 0 obj << /Title ({words}) >> endobj\n".encode()
    return body + b"% x\n" * (filling // 4) + b"startxref\n9\n%%EOF\n"


def packed(name: str) -> bytes:
    """A zip archive with one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr(name, "<x/>")
        file.writestr("anexo.pdf", pdf())
    return archive.getvalue()


def message() -> bytes:
    """An e-mail with a PDF attached."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@b.example", "c@d.example", "Erro 500"
    mail["Message-ID"] = "<1@b.example>"
    mail.set_content("Internal Server Error")
    mail.add_attachment(pdf(), maintype="application", subtype="pdf", filename="x.pdf")
    return mail.as_bytes()


_EVIDENCE = json.dumps(
    {
        "conversa": "Condomínio",
        "mensagens": [{"de": "A", "texto": "Erro 500 no elevador", "status": "lida"}] * 3,
    }
).encode()
_SIGNED = b"\x30\x82\x10\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x82\x0f\xf1\x02\x01"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><title>404 Not Found</title><path d=""/></svg>'
_DOC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)

KEEPERS: Final = [
    (
        "a contract of maintenance",
        page("Contrato de manutenção de elevadores", "<p>Cláusula primeira.</p>"),
        *(_HTML, _HTML),
    ),
    (
        "maintenance in a heading",
        b"<h1>Laudo do elevador em manuten\xc3\xa7\xc3\xa3o</h1><p>Vistoria.</p>",
        *(_HTML, _HTML),
    ),
    ("a firm with a number", page("500 Milhas Transportes Ltda", "<p>Atos.</p>"), *(_HTML, _HTML)),
    ("a firm in a heading", b"<h1>404 Eventos Ltda</h1><p>Contrato</p>", *(_HTML, _HTML)),
    (
        "a page that links to the login",
        page("Despacho", f'<p>Acesse <a href="{_SSO}">o sistema</a> para ver os autos.</p>'),
        *(_HTML, _HTML),
    ),
    (
        "a page about a login",
        page("Login do perito no sistema não funcionou: ata", "<p>Ata de audiência.</p>"),
        *(_HTML, _HTML),
    ),
    ("terror in a title", page("Terror no condomínio", "<p>Notícia juntada.</p>"), *(_HTML, _HTML)),
    (
        "an error in a sentence",
        "<p>Ocorreu um erro material na sentença.</p>".encode(),
        _HTML,
        _HTML,
    ),
    ("a place not found", "<p>Não encontrado o endereço do réu.</p>".encode(), _HTML, _HTML),
    (
        "an order about an outage",
        "<p>Sistema indisponível em 10/05/2025: restituo o prazo.</p>".encode(),
        *(_HTML, _HTML),
    ),
    (
        "a certificate of streaming",
        "Certifico que houve falha no streaming da audiência, e que o arquivo foi enviado ao "
        "Codex indisponível naquele dia; lido o stream no Codex.".encode(),
        *("text/plain", "text/plain"),
    ),
    (
        "a certificate of streaming, in HTML",
        "<p>Certidão: erro ao obter do Codex o stream da gravação.</p>".encode(),
        *(_HTML, _HTML),
    ),
    ("a certificate in Latin-1", "<p>Certidão</p>".encode("latin-1"), _HTML, _HTML),
    (
        "a long text that quotes a note",
        b"A parte cita: Codex indisponivel. " + b"Conforme relatado nos eventos. " * 100,
        *("text/plain", "text/plain"),
    ),
    (
        "a long page with the heading of an error",
        page("Erro 500", "<p>" + "Relatório do perito sobre o sistema. " * 60 + "</p>"),
        *(_HTML, _HTML),
    ),
    ("evidence in JSON", _EVIDENCE, "application/json", "application/json"),
    ("evidence in a JSON list", b"[" + _EVIDENCE + b"]", "application/json", "application/json"),
    (
        "much evidence in JSON",
        b'{"extracao": [' + b",".join([_EVIDENCE] * 200) + b"]}",
        *("application/json", "application/json"),
    ),
    ("21 bytes", b"<p>Segue o anexo.</p>", _HTML, _HTML),
    ("21 bytes of text", b"Laudo pericial anexo.", _HTML, "text/plain"),
    ("a footnote", b"[1] Nota de rodape", "text/plain", "text/plain"),
    ("braces", b"{nota} O autor requer", "text/plain", "text/plain"),
    ("127 bytes", b"x" * 127, "text/plain", "text/plain"),
    ("a table", b"nome;valor\nA;500\nB;404\n", "text/csv", "text/csv"),
    (
        "a fragment of PJe",
        b'<div id="j_id12"><div style="text-align:justify">Vistos.</div></div>',
        *(_HTML, _HTML),
    ),
    (
        "a fragment with a false charset",
        '<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">'
        "<p>intimação, petição</p>".encode(),
        *(_HTML, _HTML),
    ),
    ("many comments", b"<!-- x -->" * 1500 + b"<p>Vistos.</p>", _HTML, _HTML),
    (
        "SVG after comments",
        b"<?xml version='1.0'?>" + b"<!-- x -->" * 50 + b"<!DOCTYPE svg>" + _SVG,
        *("image/svg+xml", "image/svg+xml"),
    ),
    ("XHTML", b"<?xml version='1.0'?><!DOCTYPE html><html><p>Ata</p></html>", _HTML, _HTML),
    (
        "an invoice in XML",
        b'<?xml version="1.0"?><nfeProc><NFe/></nfeProc>',
        *("application/xml",) * 2,
    ),
    ("RTF", b"{\\rtf1\\ansi Internal Server Error\\par}", "text/richtext", "application/rtf"),
    ("PDF with words", pdf("<app-root> CircuitBreaker does not permit"), PDF, PDF),
    ("PDF after a line", b"\r\n" + pdf(), PDF, PDF),
    ("PDF with more after its end", pdf() + bytes(900), PDF, PDF),
    ("large PDF", pdf(filling=100_000), PDF, PDF),
    ("PDF of the data lake", pdf(), "APPLICATION_PDF", PDF),
    ("signature", _SIGNED + pdf(), "application/pkcs7-signature", "application/pkcs7-signature"),
    ("SVG", _SVG, "image/svg+xml", "image/svg+xml"),
    (
        "SVG with a declaration",
        b'<?xml version="1.0"?>\n<!-- x -->' + _SVG,
        *("image/svg+xml",) * 2,
    ),
    ("e-mail", message(), "message/rfc822", "message/rfc822"),
    ("zip with a PDF", packed("leia.txt"), "application/zip", "application/zip"),
    ("Word", packed("word/document.xml"), DOCX, DOCX),
    ("Excel", packed("xl/workbook.xml"), XLSX, XLSX),
    ("old Word", _DOC, "application/msword", "application/msword"),
    ("picture", b"\x89PNG\r\n\x1a\n" + bytes(64), "image/png", "image/png"),
    ("photograph", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg", "image/jpeg"),
    ("scan", b"II*\x00\x08\x00\x00\x00", "image/tiff", "image/tiff"),
    ("recording", b"ID3\x04\x00" + bytes(64), "audio/mpeg", "audio/mpeg"),
    ("voice message", b"OggS\x00\x02" + bytes(64), "audio/ogg", "audio/ogg"),
    ("hearing", b"\x00\x00\x00\x20ftypisom" + bytes(64), "video/mp4", "video/mp4"),
    ("film", b"\x1aE\xdf\xa3" + bytes(64), "video/webm", "video/webm"),
]
