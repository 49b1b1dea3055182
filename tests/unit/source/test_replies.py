"""Judging replies: outcomes by status, headers, body and listing."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.contracts.reasons import Reason
from autos.source.replies.content_types import PDF, agrees, content_type
from autos.source.replies.judge import (
    HEAD_BYTES,
    RETRY_AFTER_CAP,
    TAIL_BYTES,
    Answer,
    Available,
    Refused,
    judge,
    judge_listing,
)
from tests.unit.source.keepers import KEEPERS, pdf
from tests.unit.source.stand_ins import FIREWALLS, LOGINS, SHELL, STAND_INS, envelope, page

HTML: Final = {"content-type": "text/html"}
JSON: Final = {"content-type": "application/json"}
NO_ACCESS: Final = envelope(status=401, message="Usuário não possui acesso ao processo X")
CODEX_ERROR: Final = envelope(
    timestamp="2025-01-10T09:08:52.341Z",
    status=500,
    error="Internal Server Error",
    message="Erro interno na API do Codex.",
    externalUrlService="https://lake.example",
)
CODEX_404: Final = envelope(status=404, message="Documento inexistente", externalUrlService="x")
GATEWAY_404: Final = envelope(timestamp=1735689600000, status=404, error="Not Found", message="")
LAKE_404: Final = envelope(code=404, message="Não foram encontrados registros")
FORBIDDEN: Final = FIREWALLS[6][1]
F5: Final = FIREWALLS[0][1]
LOGIN: Final = LOGINS[0][1]
CLOUDFRONT: Final = b"<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE>"
SSO: Final = "https://sso.cloud.pje.jus.br/auth/realms/pje/protocol/openid-connect/auth?x=1"


def judged(
    status: int,
    headers: dict[str, str],
    body: bytes,
    size: int | None = None,
    listed: str | None = None,
) -> Available | Refused:
    """Judge a complete body, of which the judge gets the beginning and the end."""
    return judge(
        status,
        headers,
        body[:HEAD_BYTES],
        len(body),
        size,
        last_bytes=body[-TAIL_BYTES:],
        listed_type=listed,
    )


UNAVAILABLE: Final = Refused(Reason.UNAVAILABLE)
STATUSES: Final = [
    ("401 without a body", 401, {}, b"", Refused(Reason.CREDENTIAL)),
    ("401 with time", 401, {"retry-after": "3"}, b"", Refused(Reason.CREDENTIAL, False, 3.0)),
    ("403 secret with time", 403, {"retry-after": "3"}, b"", Refused(Reason.SECRET, True)),
    ("401 json", 401, JSON, b'{"status":401,"message":""}', Refused(Reason.CREDENTIAL)),
    ("401 no access", 401, JSON, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("401 page of no access", 401, HTML, b"<p>possui acesso", Refused(Reason.CREDENTIAL)),
    ("403 no access", 403, JSON, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("403 firewall", 403, HTML, FORBIDDEN, Refused(Reason.BLOCKED)),
    ("403 firewall, empty", 403, HTML, b"", Refused(Reason.BLOCKED)),
    ("403 login", 403, HTML, LOGIN, Refused(Reason.CREDENTIAL)),
    ("403 secret", 403, JSON, b'{"status":403}', Refused(Reason.SECRET, True)),
    ("403 secret, empty", 403, {}, b"", Refused(Reason.SECRET, True)),
    ("400", 400, JSON, b'{"status":400}', Refused(Reason.BAD_REQUEST, True)),
    ("400 of a proxy", 400, HTML, page("400 Bad Request"), UNAVAILABLE),
    ("406 of a firewall", 406, HTML, F5, Refused(Reason.BLOCKED)),
    ("408", 408, {}, b"", Refused(Reason.TIMEOUT)),
    ("422", 422, JSON, b"{}", Refused(Reason.BAD_REQUEST, True)),
    ("429", 429, {}, b"", Refused(Reason.RATE_LIMITED)),
    ("429 with time", 429, {"retry-after": "7"}, b"", Refused(Reason.RATE_LIMITED, False, 7.0)),
    ("500 codex", 500, JSON, CODEX_ERROR, Refused(Reason.DOCUMENT_ERROR)),
    ("500 other", 500, JSON, b'{"status":500}', UNAVAILABLE),
    ("500 slow codex", 500, JSON, b'{"message":"Codex excedeu o limite"}', UNAVAILABLE),
    ("502 cloudfront", 502, HTML, CLOUDFRONT, UNAVAILABLE),
    ("503 json", 503, JSON, b'{"error":"Service Unavailable"}', UNAVAILABLE),
    ("503 with time", 503, {"retry-after": "3"}, b"", Refused(Reason.UNAVAILABLE, False, 3.0)),
    ("503 challenge", 503, HTML, page("Just a moment..."), Refused(Reason.BLOCKED)),
    ("504", 504, HTML, CLOUDFRONT, UNAVAILABLE),
    ("202 not ready", 202, {"retry-after": "2"}, b"", Refused(Reason.STUB, False, 2.0)),
    ("204", 204, {}, b"", Refused(Reason.EMPTY)),
    ("206 of no request", 206, {}, b"%PDF-", UNAVAILABLE),
    ("304 of no request", 304, {}, b"", UNAVAILABLE),
]


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: row[0])
def test_statuses(row: tuple[str, int, dict[str, str], bytes, Refused]) -> None:
    _, status, headers, body, expected = row
    assert judged(status, headers, body) == expected


@pytest.mark.parametrize(
    ("name", "body", "final"),
    [
        ("lake", LAKE_404, True),
        ("portal for Codex", CODEX_404, True),
        ("gateway", GATEWAY_404, False),
        ("empty", b"", False),
        ("nginx", page("404 Not Found"), False),
        ("text that speaks like the lake", b"code message: Nao foram encontrados registros", False),
        ("another gateway", b'{"message":"no Route matched with those values"}', False),
        ("another gateway's code", b'{"code":404,"message":""}', False),
        ("list", b'[{"code":404,"message":"x"}]', False),
        ("too deep", b"[" * 9000, False),
    ],
)
def test_only_the_sources_404_is_final(name: str, body: bytes, final: bool) -> None:
    """(S6) A gateway's 404 is retried."""
    for status in (404, 410):
        assert judged(status, {}, body) == Refused(Reason.NOT_FOUND, final)


@pytest.mark.parametrize("status", [402, 409, 418, 421, 423, 425, 426, 440, 449, 499])
def test_transient_statuses_are_not_final(status: int) -> None:
    """(S15) Such as a conflict or a lock, which do not concern the document."""
    assert judged(status, {"retry-after": "4"}, b"") == Refused(Reason.UNAVAILABLE, False, 4.0)


REDIRECTS: Final = [
    (SSO, Reason.CREDENTIAL),
    ("https://sso.stg.cloud.pje.jus.br/x", Reason.CREDENTIAL),
    ("https://keycloak.example/realms/x/protocol/openid-connect/auth?y", Reason.CREDENTIAL),
    ("https://sso.acesso.gov.br/authorize", Reason.CREDENTIAL),
    ("https://www.gov.br/x", Reason.CREDENTIAL),
    ("/login", Reason.CREDENTIAL),
    ("/pje/login.seam?cid=1", Reason.CREDENTIAL),
    ("https://bucket.s3.sa-east-1.amazonaws.com/x?X-Amz-Signature=1", Reason.REDIRECTED),
    ("https://arquivos.tjxx.jus.br/login-do-autor.pdf", Reason.REDIRECTED),
    ("https://storage.cnj.gov.br/x.pdf", Reason.REDIRECTED),
    ("/api/v2/processos/x", Reason.REDIRECTED),
    ("", Reason.REDIRECTED),
    ("http://[", Reason.REDIRECTED),
]


@pytest.mark.parametrize(("location", "reason"), REDIRECTS)
def test_redirect_to_a_login_is_a_refused_credential(location: str, reason: Reason) -> None:
    """(S11) The target of the redirect decides."""
    later = {"location": location, "retry-after": "1"}
    for status in (301, 302, 303, 307, 308):
        assert judged(status, {"location": location}, b"") == Refused(reason)
        assert judge_listing(status, {"location": location}, b"") == Refused(reason)
        assert judged(status, later, b"") == Refused(reason, retry_after=1.0)


@pytest.mark.parametrize(("name", "body", "reason"), STAND_INS, ids=[row[0] for row in STAND_INS])
def test_error_pages_are_refused_with_their_reason(name: str, body: bytes, reason: Reason) -> None:
    """(S8, S2) Pages of logins, firewalls and proxies, with and without a listed size."""
    types: list[dict[str, str]] = [{}, HTML, JSON, {"content-type": PDF}]
    listings = (None, PDF, "APPLICATION_PDF", "text/html")
    for headers, listed, size in product(types, listings, (None, 50_307)):
        assert judged(200, headers, body, size, listed) == Refused(reason)


@pytest.mark.parametrize("row", KEEPERS, ids=lambda row: row[0])
def test_real_files_are_kept(row: tuple[str, bytes, str, str]) -> None:
    """(S9, S8) Regardless of the words in them, also without a listed size."""
    _, body, listed, kind = row
    assert judged(200, {}, body, len(body), listed) == Available(kind)
    assert judged(200, {"content-type": listed}, body, None, listed) == Available(kind)
    assert judged(200, {"content-type": listed}, body) == Available(kind)
    assert isinstance(judged(200, {}, body, len(body)), Available)
    assert isinstance(judged(200, {}, body), Available)


@pytest.mark.parametrize(
    ("name", "body", "listed", "reason"),
    [
        ("a PDF for a PDF", pdf(), PDF, Reason.SIZE_MISMATCH),
        ("a PDF for a PDF of the lake", pdf(), "APPLICATION_PDF", Reason.SIZE_MISMATCH),
        ("a PDF where no type is listed", pdf(), None, Reason.SIZE_MISMATCH),
        ("a PDF without its end", pdf()[:-9], PDF, Reason.TRUNCATED),
        ("a fragment for a fragment", b"<p>Vistos.</p>", "text/html", Reason.SIZE_MISMATCH),
        ("a fragment for a PDF", b"<p>Vistos.</p>", PDF, Reason.ERROR_BODY),
        ("a page for a PDF", page("Resposta", "<p>x</p>"), PDF, Reason.ERROR_BODY),
        ("a text for a PDF", b"Resposta", PDF, Reason.ERROR_BODY),
        ("a text for HTML", b"Resposta", "text/html", Reason.ERROR_BODY),
        ("junk for a PDF", b"\x00\x01\x02", PDF, Reason.ERROR_BODY),
        ("RTF for RTF", b"{\\rtf1 x}", "text/richtext", Reason.SIZE_MISMATCH),
    ],
)
def test_size_mismatch_is_reported_only_for_plausible_bodies(
    name: str, body: bytes, listed: str | None, reason: Reason
) -> None:
    """(S2) Other bodies have a more specific reason."""
    assert judged(200, {}, body, 50_307, listed) == Refused(reason)


def test_markup_in_place_of_a_pdf_is_refused() -> None:
    """(S8) Also without a listed size."""
    assert judged(200, {}, page("Aviso"), None, PDF) == Refused(Reason.ERROR_BODY)
    assert judged(200, {}, b"Aviso", None, PDF) == Available("text/plain")


def test_file_of_the_listed_size_may_have_another_type() -> None:
    """(S9) If the listed type is wrong, the text decides."""
    body = b"<p>Vistos.</p>"
    assert judged(200, {}, body, len(body), PDF) == Available("text/html")
    assert judged(200, {}, F5, len(F5), PDF) == Refused(Reason.BLOCKED)


@given(st.data())
def test_size_and_type_take_precedence_over_text(data: st.DataObject) -> None:
    """(S9) A body of the listed size and type is the document."""
    row = data.draw(st.sampled_from(STAND_INS))
    body = data.draw(st.sampled_from([b"", b"<p>", b"%PDF-1.4 ", b"\x89PNG\r\n\x1a\n"])) + row[1]
    headers = data.draw(st.sampled_from([{}, HTML, JSON]))
    kind = content_type(body[:HEAD_BYTES], headers.get("content-type"))
    for listed in (None, "application/octet-stream", kind):
        assert judged(200, headers, body, len(body), listed) == Available(kind)


def test_body_shorter_than_declared_is_truncated() -> None:
    assert judged(200, {"content-length": "100"}, b"%PDF-1") == Refused(Reason.TRUNCATED)
    assert judged(200, {"content-length": "100"}, b"") == Refused(Reason.TRUNCATED)


def test_empty_body_is_empty() -> None:
    assert judged(200, {}, b"") == Refused(Reason.EMPTY)
    assert judged(200, {}, bytes(1_000_000)) == Refused(Reason.EMPTY)


def test_decoded_body_is_not_compared_with_its_encoded_length() -> None:
    headers = {"content-length": "100000", "content-encoding": "gzip"}
    assert judged(200, headers, pdf()) == Available(PDF)


def test_missing_pdf_end_is_ignored_if_the_end_is_unknown() -> None:
    """(S8) It is required only if the end of the body is known."""
    body = pdf(filling=100_000)[:90_000]
    assert judge(200, {}, body[:HEAD_BYTES], len(body), None) == Available(PDF)
    assert judged(200, {}, body) == Refused(Reason.TRUNCATED)


def test_retry_after_is_capped() -> None:
    """Numbers and dates are read by `autos.retry_after`, which has separate tests."""
    later = format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True)
    for value, seconds in (("1.5", 1.5), ("999999", RETRY_AFTER_CAP), (later, RETRY_AFTER_CAP)):
        expected = Refused(Reason.RATE_LIMITED, False, seconds)
        assert judged(429, {"retry-after": value}, b"") == expected
    assert judged(429, {"retry-after": "soon"}, b"") == Refused(Reason.RATE_LIMITED)


NOT_FOUND: Final = Refused(Reason.NOT_FOUND, True)
UNREADABLE: Final = Refused(Reason.UNREADABLE_LISTING)
LISTINGS: Final = [
    ("detail", 200, b'[{"numeroProcesso":"x"}]', Answer([{"numeroProcesso": "x"}])),
    ("bare object", 200, b'{"tramitacaoAtual":{}}', Answer({"tramitacaoAtual": {}})),
    ("Latin-1", 200, '{"nome":"Petição"}'.encode("latin-1"), Answer({"nome": "Petição"})),
    ("UTF-16", 200, '{"nome":"Petição"}'.encode("utf-16"), Answer({"nome": "Petição"})),
    ("a mark before", 200, b'\xef\xbb\xbf{"nome":"x"}', Answer({"nome": "x"})),
    ("not a number", 200, b'{"valor":NaN}', Answer({"valor": None})),
    ("a status among others", 200, b'{"status":1,"x":2}', Answer({"status": 1, "x": 2})),
    ("unknown", 200, b"[]", NOT_FOUND),
    ("unknown, search", 200, b'{"content":[]}', NOT_FOUND),
    ("after the last page", 200, b'{"content":null,"numberOfElements":0}', NOT_FOUND),
    ("404 lake", 404, LAKE_404, NOT_FOUND),
    ("404 gateway", 404, GATEWAY_404, Refused(Reason.NOT_FOUND)),
    ("500 lake", 500, CODEX_ERROR, Refused(Reason.DOCUMENT_ERROR)),
    ("503", 503, page("503 Service Unavailable"), UNAVAILABLE),
    ("401", 401, b"", Refused(Reason.CREDENTIAL)),
    ("401 no access", 401, NO_ACCESS, Refused(Reason.NO_ACCESS, True)),
    ("403 firewall", 403, FORBIDDEN, Refused(Reason.BLOCKED)),
    ("shell", 200, SHELL, Refused(Reason.SHELL)),
    ("firewall", 200, F5, Refused(Reason.BLOCKED)),
    ("login", 200, LOGIN, Refused(Reason.CREDENTIAL)),
    ("maintenance", 200, page("Sistema em manutenção"), Refused(Reason.ERROR_BODY)),
    ("another page", 200, page("x"), Refused(Reason.ERROR_BODY)),
    ("envelope", 200, b'{"status":500,"error":"x"}', Refused(Reason.ERROR_BODY)),
    ("an empty item", 200, b"[{}]", Answer([{}])),
    ("null", 200, b"null", Refused(Reason.ERROR_BODY)),
    ("stub", 200, b"Codex indisponivel", Refused(Reason.STUB)),
    ("cut JSON", 200, b'[{"numeroProcesso":', UNREADABLE),
    ("a number", 200, b"17", UNREADABLE),
    ("a huge number", 200, b"[" + b"9" * 5000 + b"]", UNREADABLE),
    ("empty", 200, b" ", Refused(Reason.EMPTY)),
]


@pytest.mark.parametrize(
    ("status", "body", "expected"), [row[1:] for row in LISTINGS], ids=[row[0] for row in LISTINGS]
)
def test_listings(status: int, body: bytes, expected: Answer | Refused) -> None:
    """(S15) In every charset; other bodies have a reason."""
    assert judge_listing(status, {}, body) == expected


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 9000 + b"]" * 9000])
def test_json_nested_too_deep_is_an_unreadable_listing(body: bytes) -> None:
    """(S5) It is an outcome, not an internal error."""
    assert judge_listing(200, JSON, body) == UNREADABLE
    assert isinstance(judged(200, JSON, body), Available | Refused)


def test_declared_utf8_with_a_broken_byte_stays_utf8() -> None:
    """(S15) One broken byte does not change the charset."""
    body = '{"nome":"Petição'.encode() + b'\xff","x":"abc"}'
    headers = {"content-type": "application/json;charset=UTF-8"}
    assert judge_listing(200, headers, body) == Answer({"nome": "Petição\ufffd", "x": "abc"})


def test_listing_shorter_than_declared_is_truncated() -> None:
    assert judge_listing(200, {"content-length": "9"}, b"[{}]") == Refused(Reason.TRUNCATED)


PIECES: Final = st.sampled_from([row[1] for row in STAND_INS] + [row[1] for row in KEEPERS])
BODIES: Final = (
    st.binary(max_size=300)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.builds(lambda a, at, b: a[: at % (len(a) + 1)] + b, PIECES, st.integers(0), PIECES)
    | st.recursive(st.none() | st.text(max_size=5), st.lists, max_leaves=5).map(
        lambda value: json.dumps(value).encode()
    )
)


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(
            ["content-type", "content-length", "retry-after", "content-encoding", "location"]
        ),
        st.text(max_size=20),
    ),
    BODIES,
    st.none() | st.integers(0, 400),
    st.none() | st.text(max_size=20) | st.sampled_from([PDF, "TEXT_HTML"]),
)
def test_judge_never_raises(
    status: int, headers: dict[str, str], body: bytes, size: int | None, listed: str | None
) -> None:
    """(S8) And keeps no body of a wrong or unknown size."""
    found = judged(status, headers, body, size, listed)
    assert isinstance(judge_listing(status, headers, body), Answer | Refused)
    if isinstance(found, Available):
        assert body
        assert status == 200
        assert size in (None, len(body))
    elif found.reason is Reason.SIZE_MISMATCH:
        assert agrees(content_type(body[:HEAD_BYTES], headers.get("content-type"), listed), listed)
