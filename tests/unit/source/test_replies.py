"""Every row of facts/pdpj-api.md §8 and §9, as the source sends it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.contracts.states import Reason
from autos.source.content_types import DOCX, XLSX, content_type
from autos.source.replies import (
    RETRY_AFTER_CAP,
    Answer,
    Available,
    Refused,
    judge,
    judge_listing,
)

HTML = {"content-type": "text/html"}
JSON = {"content-type": "application/json"}
PDF = {"content-type": "application/pdf"}
NO_ACCESS = json.dumps(
    {"status": 401, "error": "Unauthorized", "message": "Usuário não possui acesso ao processo X"}
).encode()
CODEX_ERROR = json.dumps(
    {
        "timestamp": "2025-01-10T09:08:52.341Z",
        "status": 500,
        "error": "Internal Server Error",
        "message": "Erro interno na API do Codex.",
        "externalUrlService": "https://api-processo.data-lake.pdpj.jus.br",
    }
).encode()
GATEWAY_404 = b'{"timestamp":1735689600000,"status":404,"error":"Not Found","message":""}'
LAKE_404 = '{"code":404,"message":"Não foram encontrados registros"}'.encode()
FORBIDDEN = b"<html><head><title>403 Forbidden</title></head><body>403 Forbidden</body></html>"
CLOUDFRONT = b"<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE>"
SHELL = (
    '<!DOCTYPE html><html lang="pt-br"><head><title>Portal de Serviços do Poder Judiciário'
    "</title></head><body><app-root></app-root></body></html>"
).encode()
MAINTENANCE = "<!DOCTYPE html><html><head><title>Sistema em manutenção</title></head>".encode()
NGINX = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
LOGIN = b'<!DOCTYPE html><html><head><title>PJe</title></head><form id="kc-form-login">'
STUBS = [
    b"CircuitBreaker 'x' is OPEN and does not permit further calls",
    "Codex indisponível no momento.".encode(),
    "Codex indisponível no momento.".encode("latin-1"),
    b"Error while reading the stream from Codex",
]

REFUSED = [
    ("401 without a body", 401, {}, b"", Refused(Reason.CREDENTIAL)),
    ("401 json", 401, JSON, b'{"status":401,"message":""}', Refused(Reason.CREDENTIAL)),
    ("401 no access", 401, JSON, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    (
        "401 no access, utf-8",
        401,
        JSON,
        "não possui acesso ao processo".encode(),
        Refused(Reason.NO_ACCESS, True),
    ),
    ("403 no access", 403, JSON, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("403 firewall", 403, HTML, FORBIDDEN, Refused(Reason.BLOCKED)),
    ("403 firewall, empty", 403, HTML, b"", Refused(Reason.BLOCKED)),
    ("403 secret", 403, JSON, b'{"status":403}', Refused(Reason.SECRET, True)),
    ("403 secret, empty", 403, {}, b"", Refused(Reason.SECRET, True)),
    ("404 gateway", 404, JSON, GATEWAY_404, Refused(Reason.NOT_FOUND, True)),
    ("404 lake", 404, JSON, LAKE_404, Refused(Reason.NOT_FOUND, True)),
    ("400", 400, JSON, b'{"status":400}', Refused(Reason.BAD_REQUEST, True)),
    ("429", 429, {}, b"", Refused(Reason.RATE_LIMITED)),
    ("429 with time", 429, {"retry-after": "7"}, b"", Refused(Reason.RATE_LIMITED, False, 7.0)),
    ("500 codex", 500, JSON, CODEX_ERROR, Refused(Reason.DOCUMENT_ERROR)),
    ("500 other", 500, JSON, b'{"status":500}', Refused(Reason.UNAVAILABLE)),
    (
        "500 slow codex",
        500,
        JSON,
        '{"message":"O tempo de resposta do serviço Codex excedeu o limite"}'.encode(),
        Refused(Reason.UNAVAILABLE),
    ),
    ("502 cloudfront", 502, HTML, CLOUDFRONT, Refused(Reason.UNAVAILABLE)),
    ("503 json", 503, JSON, b'{"error":"Service Unavailable"}', Refused(Reason.UNAVAILABLE)),
    ("503 with time", 503, {"retry-after": "3"}, b"", Refused(Reason.UNAVAILABLE, False, 3.0)),
    ("504", 504, HTML, CLOUDFRONT, Refused(Reason.UNAVAILABLE)),
    ("202 ask again", 202, {"retry-after": "2"}, b"", Refused(Reason.UNAVAILABLE, False, 2.0)),
    ("302", 302, {"location": "https://sso.example"}, b"", Refused(Reason.UNAVAILABLE)),
    ("200 empty", 200, PDF, b"", Refused(Reason.EMPTY)),
    ("204", 204, {}, b"", Refused(Reason.EMPTY)),
    ("200 json", 200, JSON, b'{"status":500,"error":"x"}', Refused(Reason.ERROR_BODY)),
    ("200 json as pdf", 200, PDF, b' {"code":500}', Refused(Reason.ERROR_BODY)),
    ("200 shell", 200, HTML, SHELL, Refused(Reason.SHELL)),
    ("200 shell as pdf", 200, PDF, SHELL, Refused(Reason.SHELL)),
    (
        "200 shell by its title",
        200,
        HTML,
        SHELL.replace(b"app-root", b"div"),
        Refused(Reason.SHELL),
    ),
    ("200 maintenance", 200, HTML, MAINTENANCE, Refused(Reason.ERROR_BODY)),
    ("200 nginx", 200, HTML, NGINX, Refused(Reason.ERROR_BODY)),
    ("200 login page (F12)", 200, HTML, LOGIN, Refused(Reason.ERROR_BODY)),
    (
        "200 text of a 503",
        200,
        PDF,
        b"503 Service Temporarily Unavailable",
        Refused(Reason.ERROR_BODY),
    ),
    ("200 text with a code", 200, PDF, b'Erro: "code":500', Refused(Reason.ERROR_BODY)),
    *((f"200 stub {i}", 200, PDF, stub, Refused(Reason.STUB)) for i, stub in enumerate(STUBS)),
]


@pytest.mark.parametrize(
    ("status", "headers", "body", "verdict"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_each_refusal_has_its_reason(
    status: int, headers: dict[str, str], body: bytes, verdict: Refused
) -> None:
    assert judge(status, headers, body, len(body), None) == verdict


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<p>Segue anexo.</p>", "text/html"),
        (b"<div>Laudo anexo</div>", "text/html"),
        (b"x" * 127, "text/plain"),
        (b"{\\rtf1\\ansi Termo}", "application/rtf"),
        (b"[1] Nota de rodape", "text/plain"),
        (b"{nota} O autor requer", "text/plain"),
        (b"%PDF-1.4\n<app-root> CircuitBreaker does not permit", "application/pdf"),
        (b'<p>O "code":500 e o CircuitBreaker does not permit</p>', "text/html"),
        (
            b"<html><head><meta charset=iso-8859-1><title>Despacho</title></head>",
            "text/html",
        ),
        (b"A parte cita: Codex indisponivel. " + b"x" * 4000, "text/plain"),
    ],
)
def test_real_pieces_are_told_by_their_text(body: bytes, kind: str) -> None:
    verdict = judge(200, {"content-length": str(len(body))}, body, len(body), len(body))
    assert verdict == Available(kind)


def test_a_body_shorter_than_declared_is_cut_short() -> None:
    assert judge(200, {"content-length": "100"}, b"%PDF-1", 6, None) == Refused(Reason.TRUNCATED)
    assert judge(200, {"content-length": "100"}, b"", 0, None) == Refused(Reason.TRUNCATED)


def test_a_decoded_body_is_not_measured_by_its_encoded_length() -> None:
    headers = {"content-length": "100", "content-encoding": "gzip"}
    assert judge(200, headers, b"%PDF-1", 6, 6) == Available("application/pdf")


def test_another_size_than_listed_is_refused_but_not_for_good() -> None:
    assert judge(200, PDF, b"%PDF-1", 6, 7) == Refused(Reason.SIZE_MISMATCH)
    assert judge(200, PDF, b"%PDF-1", 6, 6) == Available("application/pdf")


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (b'{ "error": "x', Refused(Reason.ERROR_BODY)),
        (b"{nota} O autor", Available("text/plain")),
        (b'x"y', Available("text/plain")),
    ],
)
def test_a_long_body_of_which_only_the_beginning_is_seen(
    head: bytes, verdict: Available | Refused
) -> None:
    assert judge(200, PDF, head, 1_000_000, None) == verdict


def test_an_error_text_is_named_before_the_size() -> None:
    assert judge(200, PDF, STUBS[0], len(STUBS[0]), 50_000) == Refused(Reason.STUB)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("1.5", 1.5),
        ("999999", RETRY_AFTER_CAP),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert judge(429, {"retry-after": value}, b"", 0, None) == Refused(
        Reason.RATE_LIMITED, False, seconds
    )


def test_retry_after_as_a_date() -> None:
    def seconds(moment: datetime) -> float:
        header = format_datetime(moment.astimezone(UTC), usegmt=True)
        verdict = judge(503, {"retry-after": header}, b"", 0, None)
        assert isinstance(verdict, Refused)
        assert verdict.retry_after is not None
        return verdict.retry_after

    now = datetime.now(UTC)
    assert 50 < seconds(now + timedelta(seconds=60)) <= 60
    assert seconds(now - timedelta(days=1)) == 0
    assert seconds(now + timedelta(days=9)) == RETRY_AFTER_CAP


@pytest.mark.parametrize(
    ("head", "declared", "kind"),
    [
        (b"%PDF-1.7", "application/octet-stream", "application/pdf"),
        (b"\x00\x01junk %PDF-1.4", None, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\x00", None, "image/png"),
        (b"\xff\xd8\xff\xe0\x00", "application/pdf", "image/jpeg"),
        (b"GIF89a\x01", None, "image/gif"),
        (b"II*\x00", None, "image/tiff"),
        (b"{\\rtf1", "text/richtext", "application/rtf"),
        (b"PK\x03\x04\x14\x00[Content_Types].xml..word/document.xml", None, DOCX),
        (b"PK\x03\x04\x14\x00[Content_Types].xml..xl/workbook.xml", None, XLSX),
        (b"PK\x03\x04\x14\x00[Content_Types].xml", DOCX, DOCX),
        (b"PK\x03\x04\x14\x00anything", None, "application/zip"),
        (
            b"PK\x03\x04\x14\x00\x00mimetypeapplication/vnd.oasis.opendocument.textPK\x03\x04",
            None,
            "application/vnd.oasis.opendocument.text",
        ),
        (b"ID3\x04\x00", None, "audio/mpeg"),
        (b"\xff\xfb\x90\x64\x00", None, "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypisom", None, "video/mp4"),
        (b"\x00\x00\x00\x20ftypM4A ", None, "audio/mp4"),
        (b"OggS\x00", None, "audio/ogg"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, "audio/wav"),
        (b"<div style='x'>", "application/pdf", "text/html"),
        (b"\xef\xbb\xbf<p>", None, "text/html"),
        (b"<?xml version='1.0'?><nfe/>", None, "application/xml"),
        ("Certidão".encode(), "application/pdf", "text/plain"),
        ("Certidão".encode("latin-1"), "text/csv", "text/csv"),
        (b"BM em anexo", None, "text/plain"),
        (
            b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0",
            None,
            "application/pkcs7-signature",
        ),
        (b"\x00\x01\x02\x03", "application/pdf", "application/octet-stream"),
    ],
)
def test_type_by_the_first_bytes(head: bytes, declared: str | None, kind: str) -> None:
    assert content_type(head, declared) == kind


LISTINGS = [
    ("detail", 200, b'[{"numeroProcesso":"x"}]', Answer([{"numeroProcesso": "x"}])),
    ("bare object", 200, b'{"tramitacaoAtual":{}}', Answer({"tramitacaoAtual": {}})),
    ("unknown", 200, b"[]", Refused(Reason.NOT_FOUND, True)),
    ("unknown, search", 200, b'{"content":[]}', Refused(Reason.NOT_FOUND, True)),
    (
        "after the last page",
        200,
        b'{"content":null,"numberOfElements":0}',
        Refused(Reason.NOT_FOUND, True),
    ),
    ("404 lake", 404, LAKE_404, Refused(Reason.NOT_FOUND, True)),
    ("500 lake", 500, CODEX_ERROR, Refused(Reason.DOCUMENT_ERROR)),
    ("503", 503, NGINX, Refused(Reason.UNAVAILABLE)),
    ("401", 401, b"", Refused(Reason.CREDENTIAL)),
    ("401 no access", 401, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("403 no access", 403, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("403 firewall", 403, FORBIDDEN, Refused(Reason.BLOCKED)),
    ("shell", 200, SHELL, Refused(Reason.SHELL)),
    ("maintenance", 200, MAINTENANCE, Refused(Reason.ERROR_BODY)),
    ("envelope", 200, b'{"status":500,"error":"x"}', Refused(Reason.ERROR_BODY)),
    ("stub", 200, STUBS[0], Refused(Reason.STUB)),
    ("cut JSON", 200, b'[{"numeroProcesso":', Refused(Reason.ERROR_BODY)),
    ("a number", 200, b"17", Refused(Reason.ERROR_BODY)),
    ("empty", 200, b" ", Refused(Reason.EMPTY)),
    ("too deep", 200, b"[" * 100_000, Refused(Reason.ERROR_BODY)),
]


@pytest.mark.parametrize(
    ("status", "body", "verdict"), [row[1:] for row in LISTINGS], ids=[row[0] for row in LISTINGS]
)
def test_listings(status: int, body: bytes, verdict: Answer | Refused) -> None:
    assert judge_listing(status, {}, body) == verdict


def test_a_listing_shorter_than_declared_is_cut_short() -> None:
    assert judge_listing(200, {"content-length": "9"}, b"[{}]") == Refused(Reason.TRUNCATED)


@given(
    st.integers(200, 599),
    st.dictionaries(
        st.sampled_from(["content-type", "content-length", "retry-after", "content-encoding"]),
        st.text(max_size=20),
    ),
    st.binary(max_size=300),
    st.none() | st.integers(0, 400),
)
def test_the_judge_has_a_verdict_for_anything(
    status: int, headers: dict[str, str], body: bytes, expected: int | None
) -> None:
    verdict = judge(status, headers, body, len(body), expected)
    assert isinstance(verdict, Available | Refused)
    assert isinstance(judge_listing(status, headers, body), Answer | Refused)
