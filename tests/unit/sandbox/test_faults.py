"""Faults of documents."""

import asyncio
import time
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest

from tests.unit.sandbox.driver import TOKEN, Sandbox

OPTIONS: dict[str, dict[str, Any]] = {
    "search_page_fails": {"parameters": {"page": 1}},
    "trickle": {"parameters": {"bytes_per_second": 10_000_000}},
    "slow_first_byte": {"parameters": {"seconds": 0.05}},
}
TRANSPORT = {"connection_reset", "truncated", "chunked_truncated", "hang", "stall"}


async def small_file(sandbox: Sandbox) -> str:
    """The path of a document of 20,000 bytes."""
    case = await sandbox.control("cases", {"documents": 1, "size_bytes": 20_000})
    uuid = case["documents"][0]["uuid"]
    return f"/api/v2/processos/{case['masked']}/documentos/{uuid}/binario"


async def test_codex_500(sandbox: Sandbox) -> None:
    await sandbox.fault("codex_500", process="small", document=0)
    path = await sandbox.path()
    for _ in range(2):
        reply = await sandbox.get(path)
        assert reply.status_code == 500
        body = reply.json()
        assert body["message"] == "Erro interno na API do Codex."
        assert isinstance(body["timestamp"], str)
        assert body["timestamp"].endswith("Z")
        assert body["externalUrlService"].startswith("https://api-processo.data-lake")
    assert 400 < len(reply.content) < 600
    assert (await sandbox.binary("small", 1)).status_code == 200


async def test_codex_500_for_an_unknown_case(sandbox: Sandbox) -> None:
    await sandbox.control("switches", {"unknown": "codex_500"})
    number = "9990778-06.2024.4.03.6100"
    assert (await sandbox.get(f"/api/v2/processos/{number}")).status_code == 500
    found = await sandbox.get("/api/v2/processos", params={"numeroProcesso": number})
    assert found.status_code == 404


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("bad_gateway_html", 502, "text/html"),
        ("unavailable_503_html", 503, "text/html"),
        ("gateway_timeout_504", 504, "text/html"),
        ("unavailable_503_json", 503, "application/json"),
    ],
)
async def test_gateway_errors(sandbox: Sandbox, fault: str, status: int, kind: str) -> None:
    await sandbox.fault(fault)
    reply = await sandbox.binary()
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith(kind)
    found = await sandbox.get("/api/v2/processos", params={"numeroProcesso": "1"})
    assert found.status_code == status


async def test_rate_limited(sandbox: Sandbox) -> None:
    await sandbox.fault("rate_limited", when={"mode": "first", "count": 1})
    path = await sandbox.path()
    reply = await sandbox.get(path)
    assert reply.status_code == 429
    assert "retry-after" not in reply.headers
    await sandbox.fault("rate_limited_retry_after", parameters={"seconds": 7})
    reply = await sandbox.get(path)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("stub_circuit_breaker", "does not permit"),
        ("stub_codex_down", "Codex indispon"),
        ("stub_codex_timeout", "excedeu o limite"),
        ("json_error_200", '"code":500'),
        ("maintenance_html_200", "manutenção"),
        ("shell_200", "<app-root"),
        ("empty_200", ""),
    ],
)
async def test_status_200_without_the_file(sandbox: Sandbox, fault: str, text: str) -> None:
    await sandbox.fault(fault)
    reply = await sandbox.binary()
    assert reply.status_code == 200
    assert text in reply.text
    if fault.startswith("stub"):
        assert 120 <= len(reply.content) <= 170
    if fault == "empty_200":
        assert reply.content == b""


async def test_cut_connection(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    await sandbox.fault("truncated", parameters={"after_bytes": 7000})
    received: list[bytes] = []
    with pytest.raises(httpx2.RemoteProtocolError, match=r"7000 bytes, expected 20000"):
        await receive(sandbox, path, received)
    assert len(b"".join(received)) == 7000


async def receive(sandbox: Sandbox, path: str, received: list[bytes]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with sandbox.http.stream("GET", path, headers=headers) as reply:
        assert reply.headers["content-length"] == "20000"
        async for chunk in reply.aiter_raw():
            received.append(chunk)


@pytest.mark.parametrize("difference", [5, -5])
async def test_size_mismatch(sandbox: Sandbox, difference: int) -> None:
    path = await small_file(sandbox)
    await sandbox.fault("size_mismatch", parameters={"bytes": difference})
    reply = await sandbox.get(path)
    assert len(reply.content) == 20_000 + difference
    assert reply.headers["content-length"] == str(20_000 + difference)


async def test_size_mismatch_with_other_bytes_each_time(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    await sandbox.fault("size_mismatch_unequal")
    replies = [(await sandbox.get(path)).content for _ in range(3)]
    assert {len(body) for body in replies} == {20_008}
    assert len(set(replies)) == 3


async def test_short_content_length(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    plain = (await sandbox.get(path)).content
    await sandbox.fault("short_content_length", parameters={"bytes": 5000})
    reply = await sandbox.get(path)
    assert (reply.headers["content-length"], reply.content) == ("5000", plain[:5000])


async def test_compressed_whole_and_cut(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    plain = (await sandbox.get(path)).content
    whole = await sandbox.fault("gzip")
    reply = await sandbox.get(path)
    assert (reply.headers["content-encoding"], reply.content) == ("gzip", plain)
    await sandbox.http.delete(f"/control/faults/{whole}")
    await sandbox.fault("gzip_truncated")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with sandbox.http.stream("GET", path, headers=headers) as cut:
        received = b"".join([chunk async for chunk in cut.aiter_raw()])
    assert len(received) == int(cut.headers["content-length"])
    decoder = zlib.decompressobj(wbits=31)
    got = decoder.decompress(received)
    assert plain.startswith(got)
    assert not decoder.eof


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("login_govbr_200", "Identifique-se no gov.br"),
        ("login_pje_200", "kc-form-login"),
        ("request_rejected_200", "Request Rejected"),
        ("just_a_moment_200", "Just a moment..."),
        ("proxy_error_200", "upstream connect error"),
        ("server_error_200", "Internal Server Error"),
        ("codex_error_200", "Erro interno na API do Codex."),
        ("access_denied_200", "AccessDenied"),
        ("blanks_200", "    "),
        ("cut_pdf_200", "%PDF-1.4"),
    ],
)
@pytest.mark.parametrize("sized", [True, False])
async def test_pages_that_are_no_documents_with_and_without_a_size(
    sandbox: Sandbox, fault: str, text: str, sized: bool
) -> None:
    await sandbox.fault(fault, document=0, process="small")
    if not sized:
        await sandbox.fault("sizes_unlisted", process="small")
    listed = (await sandbox.detail("small"))["tramitacaoAtual"]["documentos"]
    assert [("arquivo" in document) for document in listed] == [sized] * 7
    reply = await sandbox.binary("small", 0)
    assert (reply.status_code, text in reply.text) == (200, True)
    assert text not in (await sandbox.binary("small", 1)).text[:400]


async def test_retry_after_as_a_date(sandbox: Sandbox) -> None:
    await sandbox.fault("retry_after_date", parameters={"seconds": 90})
    reply = await sandbox.binary()
    at = parsedate_to_datetime(reply.headers["retry-after"])
    assert reply.status_code == 429
    assert 30 < (at - datetime.now(UTC)).total_seconds() < 100


async def test_redirects(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    plain = (await sandbox.get(path)).content

    async def location(fault: str) -> str:
        added = await sandbox.fault(fault)
        reply = await sandbox.get(path)
        await sandbox.http.delete(f"/control/faults/{added}")
        assert reply.status_code == 302
        address: str = reply.headers["location"]
        return address

    login = await location("redirect_login")
    assert login.startswith(f"{sandbox.url}/auth/realms/pje/")
    assert "kc-form-login" in (await sandbox.http.get(login)).text
    own = await location("redirect_own_host")
    assert own.startswith(sandbox.url.replace("127.0.0.1", "localhost"))
    signed = own.replace("localhost", "127.0.0.1")
    assert (await sandbox.http.get(signed)).content == plain
    assert (await sandbox.get(signed)).status_code == 400
    assert (await sandbox.http.get(signed.partition("?")[0])).status_code == 403
    foreign = await location("redirect_foreign_host")
    assert foreign.startswith("https://arquivos.exemplo.invalid/")
    assert await location("redirect_loop") == sandbox.url + path


async def test_other_statuses_and_not_founds(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    for status in (409, 423, 425, 499):
        added = await sandbox.fault("other_status", parameters={"status": status})
        assert (await sandbox.get(path)).status_code == status
        await sandbox.http.delete(f"/control/faults/{added}")
    added = await sandbox.fault("not_found_gateway")
    assert isinstance((await sandbox.get(path)).json()["timestamp"], int)
    await sandbox.http.delete(f"/control/faults/{added}")
    await sandbox.fault("not_found_html")
    reply = await sandbox.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "text/html")


async def test_trickle_below_ten_bytes_per_second(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    await sandbox.fault("trickle", parameters={"bytes_per_second": 4})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    received = b""
    begun = time.monotonic()
    async with sandbox.http.stream("GET", path, headers=headers) as reply:
        async for chunk in reply.aiter_raw():
            received += chunk
            if len(received) >= 3:
                break
    assert len(received) < 10
    assert time.monotonic() - begun >= 0.4


async def test_chunked(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    plain = await sandbox.get(path)
    chunked = await sandbox.fault("chunked_no_length")
    reply = await sandbox.get(path)
    assert "content-length" not in reply.headers
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.content == plain.content
    await sandbox.http.delete(f"/control/faults/{chunked}")
    await sandbox.fault("chunked_truncated")
    with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked"):
        await sandbox.get(path)


async def test_content_types(sandbox: Sandbox) -> None:
    types = {}
    case = await sandbox.case("demo")
    for document in case["documents"]:
        if document["name"] in ("Certidão.pdf", "Ofício.pdf", "Ata.pdf", "Termo.html"):
            reply = await sandbox.get(
                f"/api/v2/processos/{case['number']}/documentos/{document['uuid']}/binario"
            )
            types[document["name"]] = (reply.headers.get("content-type"), reply.content[:5])
            if document["name"] == "Termo.html":
                assert "ISO-8859-1" in reply.content.decode()
                assert "petição" in reply.content.decode()
    assert types["Certidão.pdf"] == ("application/pdf", b"Certi")
    assert types["Ofício.pdf"] == ("application/octet-stream", b"%PDF-")
    assert types["Ata.pdf"] == (None, b"%PDF-")
    path = await small_file(sandbox)
    await sandbox.fault("wrong_content_type", parameters={"content_type": "image/gif"})
    assert (await sandbox.get(path)).headers["content-type"] == "image/gif"
    await sandbox.fault("missing_content_type")
    assert "content-type" not in (await sandbox.get(path)).headers


async def test_slow_first_byte_and_trickle(sandbox: Sandbox) -> None:
    path = await small_file(sandbox)
    slow = await sandbox.fault("slow_first_byte", parameters={"seconds": 0.3})
    begun = time.monotonic()
    assert (await sandbox.get(path)).status_code == 200
    assert time.monotonic() - begun >= 0.3
    await sandbox.http.delete(f"/control/faults/{slow}")
    await sandbox.fault("trickle", parameters={"bytes_per_second": 50_000})
    begun = time.monotonic()
    assert len((await sandbox.get(path)).content) == 20_000
    assert 0.3 <= time.monotonic() - begun < 3


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_hanging_response_ends_when_the_client_disconnects(
    sandbox: Sandbox, fault: str
) -> None:
    path = await small_file(sandbox)
    await sandbox.fault(fault)
    with pytest.raises(httpx2.ReadTimeout):
        await sandbox.get(path, timeout=0.2)
    async with asyncio.timeout(30):
        while (await sandbox.control("counters"))["in_flight_now"]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("parameters", [{}, {"after_bytes": 5000}])
async def test_reset(sandbox: Sandbox, parameters: dict[str, Any]) -> None:
    path = await small_file(sandbox)
    await sandbox.fault("connection_reset", parameters=parameters)
    with pytest.raises(httpx2.ReadError) as raised:
        await sandbox.get(path)
    assert "reset" in repr(root_cause(raised.value)).lower()


def root_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


async def test_secret_piece(sandbox: Sandbox) -> None:
    await sandbox.fault("secret_piece_403", process="small", document=2)
    reply = await sandbox.binary("small", 2)
    assert reply.status_code == 403
    assert reply.json()["error"] == "Forbidden"
    assert (await sandbox.binary("small", 3)).status_code == 200


async def test_piece_withheld(sandbox: Sandbox) -> None:
    before = (await sandbox.detail("small"))["tramitacaoAtual"]
    await sandbox.fault("piece_withheld", process="small", document=2)
    after = (await sandbox.detail("small"))["tramitacaoAtual"]
    assert after["documentos"] == before["documentos"][:2] + before["documentos"][3:]
    assert after["movimentos"] == before["movimentos"]
    assert any("sob sigilo" in movement["descricao"] for movement in after["movimentos"])


async def test_case_becomes_secret(sandbox: Sandbox) -> None:
    await sandbox.detail("small")
    await sandbox.fault("becomes_secret", process="small")
    reply = await sandbox.binary("small")
    assert reply.status_code == 401
    assert "não possui acesso ao processo" in reply.json()["message"]
    assert (await sandbox.binary("demo")).status_code != 401


async def test_id_that_is_no_uuid(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    for wrong in ("10000000012", "PG5RP_1"):
        reply = await sandbox.get(f"/api/v2/processos/{case['number']}/documentos/{wrong}/binario")
        assert reply.status_code == 400


async def test_faults_apply_to_the_first_requests_with_skip_and_each(sandbox: Sandbox) -> None:
    paths = [await sandbox.path("small", index) for index in range(2)]

    async def statuses(times: int) -> list[int]:
        return [(await sandbox.get(path)).status_code for _ in range(times) for path in paths]

    await sandbox.fault("bad_gateway_html", when={"mode": "first", "count": 3, "skip": 1})
    assert await statuses(3) == [200, 502, 502, 502, 200, 200]
    await sandbox.http.delete("/control/faults")
    when = {"mode": "first", "count": 1, "each": True}
    added = await sandbox.fault("bad_gateway_html", when=when)
    assert await statuses(2) == [502, 502, 200, 200]
    (entry,) = await sandbox.control("faults")
    assert (entry["id"], entry["fitted"], entry["struck"]) == (added, 4, 2)


async def test_random_faults_are_reproducible(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    runs = []
    for seed in (1, 1, 2):
        await sandbox.control("reset", {})
        when = {"mode": "random", "probability": 0.5, "seed": seed}
        await sandbox.fault("bad_gateway_html", when=when)
        runs.append([(await sandbox.get(path)).status_code for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]
    assert 8 < runs[0].count(502) < 32


async def test_every_fault_makes_a_difference(sandbox: Sandbox) -> None:
    case = await sandbox.case("two-instances")
    binary = await sandbox.path("two-instances")
    detail = f"/api/v2/processos/{case['number']}"
    portfolio = "/api/v2/processos?cpfCnpjParte=00000000272"
    number = (await sandbox.case("portfolio-250"))["number"]
    after_last = f"{portfolio}&searchAfter=0,{number}"
    for named in await sandbox.control("fault-names"):
        fault = named["fault"]
        path = {"detail": detail, "search": portfolio}.get(named["routes"][0], binary)
        if len(named["routes"]) > 1:
            path = binary if "document" in named["routes"] else detail
        if fault == "search_split_item":
            path = f"/api/v2/processos?numeroProcesso={case['number']}"
        if fault.startswith("search_end"):
            path = after_last
        usual = await seen(sandbox, path)
        options = OPTIONS.get(fault, {})
        if fault == "piece_withheld":
            options = {"process": case["number"], "document": 0}
        added = await sandbox.fault(fault, **options)
        faulty = await seen(sandbox, path)
        (entry,) = await sandbox.control("faults")
        assert entry["struck"] == 1, fault
        if fault not in ("trickle", "slow_first_byte", "search_end_404"):
            assert faulty != usual, fault
        assert (faulty == "broken") == (fault in TRANSPORT), fault
        await sandbox.http.delete(f"/control/faults/{added}")


async def seen(sandbox: Sandbox, path: str) -> object:
    try:
        reply = await sandbox.get(path, timeout=0.5)
    except httpx2.TransportError:
        return "broken"
    headers = {name: reply.headers.get(name) for name in ("content-type", "content-length")}
    return reply.status_code, headers, reply.content, reply.headers.get("retry-after")
