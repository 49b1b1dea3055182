"""Routes of the portal and their regular responses."""

import hashlib

from tests.unit.sandbox.driver import Sandbox


async def test_detail_by_masked_or_bare_number(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    masked = await sandbox.get(f"/api/v2/processos/{case['masked']}")
    bare = await sandbox.get(f"/api/v2/processos/{case['number']}")
    assert masked.content == bare.content
    assert masked.headers["content-type"] == "application/json"
    (item,) = bare.json()
    for document in item["tramitacaoAtual"]["documentos"]:
        prefix = f"/processos/{case['masked']}/documentos/"
        assert document["hrefBinario"].startswith(prefix)
        assert document["hrefTexto"].startswith(prefix)


async def test_search_pages_by_joined_search_after(sandbox: Sandbox) -> None:
    path = "/api/v2/processos/"
    asked = {"cpfCnpjParte": "00000000272", "size": "7", "naoExiste": "x"}
    first = (await sandbox.get(path, params=asked)).json()
    assert (first["total"], first["numberOfElements"], len(first["content"])) == (250, 100, 100)
    time, last = first["searchAfter"]
    assert isinstance(time, int)
    assert isinstance(last, str)
    second = await sandbox.get(path, params=asked | {"searchAfter": f"{time},{last}"})
    assert second.json()["content"][0] not in first["content"]
    assert "documentos" not in first["content"][0]["tramitacoes"][0]
    for wrong in (f'[{time},"{last}"]', f"[{time}],{last}", last, f"{time};{last}"):
        refused = await sandbox.get(path, params=asked | {"searchAfter": wrong})
        assert refused.status_code == 404


async def test_search_ignores_unknown_filters(sandbox: Sandbox) -> None:
    everything = (await sandbox.get("/api/v2/processos", params={"naoExiste": "1"})).json()
    assert everything["total"] > 250


async def test_search_by_number(sandbox: Sandbox) -> None:
    case = await sandbox.case("two-instances")
    for number in (case["masked"], case["number"]):
        page = (await sandbox.get("/api/v2/processos", params={"numeroProcesso": number})).json()
        assert [item["numeroProcesso"] for item in page["content"]] == [case["masked"]]
        assert len(page["content"][0]["tramitacoes"]) == 2
        assert "searchAfter" not in page


async def test_binary_has_the_listed_length_and_the_true_hash(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    listed = (await sandbox.detail("small"))["tramitacaoAtual"]["documentos"]
    for truth, document in zip(case["documents"], listed, strict=True):
        reply = await sandbox.get("/api/v2" + document["hrefBinario"])
        assert reply.headers["content-type"] == document["arquivo"]["tipo"]
        assert len(reply.content) == document["arquivo"]["tamanho"] == truth["size"]
        assert hashlib.sha256(reply.content).hexdigest() == truth["sha256"]
        assert not {"etag", "accept-ranges", "content-disposition"} & set(reply.headers)


async def test_text_plain_or_wrapped(sandbox: Sandbox) -> None:
    path = await sandbox.path(form="texto")
    plain = await sandbox.get(path)
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    await sandbox.control("switches", {"text_form": "json"})
    assert (await sandbox.get(path)).json() == {"texto": plain.text}


async def test_gateway_404(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    base = f"/api/v2/processos/{case['masked']}"
    document = f"documentos/{case['documents'][0]['uuid']}"
    for end in ("documentos", "tramitacoes", "partes", "movimentacoes", document):
        reply = await sandbox.get(f"{base}/{end}")
        assert reply.status_code == 404
        body = reply.json()
        assert isinstance(body["timestamp"], int)
        assert (body["error"], body["message"], body["path"]) == ("Not Found", "", f"{base}/{end}")


async def test_shell_outside_the_api(sandbox: Sandbox) -> None:
    inside = await sandbox.path()
    for path in ("/", "/consulta", inside.removeprefix("/api/v2")):
        for token in (None, "wrong", "sandbox-demo-token"):
            reply = await sandbox.get(path, token, headers={"Range": "bytes=0-9"})
            assert reply.status_code == 200
            assert reply.headers["content-type"] == "text/html"
            assert len(reply.content) == 2422
            assert "<app-root" in reply.text


async def test_no_cookie_is_needed(sandbox: Sandbox) -> None:
    plain = await sandbox.binary()
    assert "set-cookie" not in plain.headers
    await sandbox.control("switches", {"session_cookie": True})
    with_cookie = await sandbox.binary()
    sandbox.http.cookies.clear()
    assert with_cookie.headers["set-cookie"].startswith("JSESSIONID=")
    assert with_cookie.content == plain.content
