"""The store against real S3 servers (F7, F9, F41)."""

import hashlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import httpx2
import pytest
from aiohttp import ClientSession

from autos.source.spool import Spool
from autos.store import Store, document_key, manifest_key
from autos.store.object_keys import read_key
from tests.unit.store.conftest import Endpoint, saved_name

PIECE = b"%PDF-1.4 a piece"


@dataclass(frozen=True, slots=True)
class Text:
    """A body in pieces of one character."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 4):
            yield self.data[start : start + 4]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def case() -> str:
    """A new case number for each test; the servers are shared."""
    return f"{random.getrandbits(64):020}"


async def test_object_is_stored_once_and_read_back(store: Store, endpoint: Endpoint) -> None:
    key = document_key(case(), digest(PIECE))
    assert await store.head(key) is None
    assert await store.put(key, Text(PIECE), digest(PIECE), "application/pdf")
    assert await store.get(key) == PIECE
    held = await store.head(key)
    assert held is not None
    assert held.size == len(PIECE)
    # rclone overwrites with the same bytes; other stores do not.
    written = await store.put(key, Text(PIECE), digest(PIECE), "application/pdf")
    assert written == (endpoint.kind == "rclone")
    assert await store.get(key) == PIECE


async def test_damaged_object_is_overwritten(store: Store) -> None:
    key = document_key(case(), digest(PIECE))
    await store.put_json(key, PIECE[:5])
    assert await store.put(key, Text(PIECE), digest(PIECE), "application/pdf")
    assert await store.get(key) == PIECE


async def test_empty_and_large_bodies_are_stored(store: Store, tmp_path: Path) -> None:
    number = case()
    empty = document_key(number, digest(b""))
    assert await store.put(empty, Text(b""), digest(b""), "text/plain")
    assert await store.get(empty) == b""
    chunk = bytes(range(256)) * 256
    with Spool(tmp_path) as spool:
        for _ in range(200):
            await spool.write(chunk)
        assert spool.on_disk
        sha256 = digest(chunk * 200)
        large = document_key(number, sha256)
        assert await store.put(large, spool, sha256, "application/octet-stream")
    assert digest(await store.get(large)) == sha256


async def test_manifests_are_replaced(store: Store) -> None:
    key = manifest_key(case())
    await store.put_json(key, b'{"a":1}')
    await store.put_json(key, b'{"a":2}')
    assert await store.get(key) == b'{"a":2}'


async def test_list_and_purge_are_limited_to_one_process(store: Store) -> None:
    one, two = case(), case()
    for number in (one, two):
        for data in (b"a", b"b"):
            await store.put(document_key(number, digest(data)), Text(data), digest(data), "x/y")
        await store.put_json(manifest_key(number), b"{}")
    listed = [key async for key in store.list_keys(f"processes/{one}/")]
    assert sorted(listed) == sorted(
        [document_key(one, digest(b"a")), document_key(one, digest(b"b")), manifest_key(one)]
    )
    assert await store.delete_prefix(one) == 3
    assert await store.delete_prefix(one) == 0
    assert [key async for key in store.list_keys(f"processes/{one}/")] == []
    assert len([key async for key in store.list_keys(f"processes/{two}/")]) == 3


async def test_pages_are_in_the_order_of_keys(store: Store) -> None:
    """All pages together contain every object once."""
    digits = [f"9992{number:016}" for number in (1, 2)]
    keys = [manifest_key(one) for one in digits]
    keys += [document_key(one, f"{number:064x}") for one in digits for number in range(3)]
    for key in keys:
        await store.put_json(key, b"{}")
    after, more = "processes/9992", True
    seen: list[str] = []
    while more:
        page, more = await store.list_page(after, 3)
        assert len(page) <= 3
        after = page[-1].key
        seen += [listed.key for listed in page if listed.key < "processes/9993"]
        assert all(datetime.now(UTC) - listed.modified_at < timedelta(hours=1) for listed in page)
    assert seen == sorted(keys)
    await store.delete([*keys[:2], "processes/99920000000000000001/never-there"])
    assert [key async for key in store.list_keys("processes/9992")] == sorted(keys[2:])
    await store.delete([])


@pytest.mark.parametrize(
    ("key", "read"),
    [
        (f"processes/{'9' * 20}/{'a' * 64}", ("9" * 20, "a" * 64)),
        (f"processes/{'9' * 20}/manifest.json", ("9" * 20, "manifest.json")),
        (f"processes/{'9' * 20}/{'A' * 64}", None),
        (f"processes/{'9' * 20}/notes.txt", None),
        (f"processes/{'9' * 20}/old/{'a' * 64}", None),
        (f"processes/{'9' * 19}/{'a' * 64}", None),
        (f"{'9' * 20}/{'a' * 64}", None),
        ("processes/", None),
    ],
)
def test_only_valid_keys_are_parsed(key: str, read: tuple[str, str] | None) -> None:
    assert read_key(key) == read


async def test_bucket_is_created_once_and_ready(
    endpoint: Endpoint, http: ClientSession, store: Store
) -> None:
    await store.ensure_bucket()
    assert await store.ready()
    assert not await Store(endpoint.settings(s3_bucket="not-there"), http).ready()
    assert not await Store(endpoint.settings(s3_endpoint="http://127.0.0.1:1"), http).ready()


NAMES = [
    "Petição Inicial.pdf",
    "despacho/decisão 1.html",
    'com "aspas" e \\ barra.pdf',
    "ç" * 320 + ".pdf",
    "100% pago; a=b, c'd*.pdf",
    "名前 📄.pdf",
]


@pytest.mark.parametrize("name", NAMES)
async def test_link_returns_name_type_and_bytes(store: Store, name: str) -> None:
    key = document_key(case(), digest(PIECE))
    await store.put(key, Text(PIECE), digest(PIECE), "application/pdf")
    async with httpx2.AsyncClient() as browser:
        opened = await browser.get(store.link(key, name, "text/html"))
    assert opened.status_code == 200
    assert digest(opened.content) == digest(PIECE)
    assert opened.headers["content-type"].startswith("text/html")
    headers = {field.lower(): value for field, value in opened.headers.raw}
    assert saved_name(headers[b"content-disposition"].decode("ascii")) == name


async def test_link_with_another_signature_is_refused(
    rclone: Endpoint, http: ClientSession
) -> None:
    store = Store(rclone.settings(), http)
    await store.ensure_bucket()
    key = document_key(case(), digest(PIECE))
    await store.put(key, Text(PIECE), digest(PIECE), "application/pdf")
    link = store.link(key, "a.pdf", "application/pdf")
    async with httpx2.AsyncClient() as browser:
        assert (await browser.get(link)).status_code == 200
        assert (await browser.get(link.replace("a.pdf", "b.pdf"))).status_code == 403


def _grown(script: str, *arguments: str) -> int:
    """Run a script in a new process and return the growth of its memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


async def test_memory_does_not_grow_with_the_document(
    rclone: Endpoint, http: ClientSession, tmp_path: Path
) -> None:
    """F41."""
    await Store(rclone.settings(), http).ensure_bucket()
    grown = _grown(
        """
        import asyncio, hashlib, resource, sys
        from pathlib import Path
        from autos.settings import Settings
        from autos.source import Spool, open_http
        from autos.store import Store, document_key

        async def main(endpoint, key, secret, folder):
            settings = Settings.model_validate({
                "s3_endpoint": endpoint, "s3_bucket": "autos-tests",
                "s3_access_key_id": key, "s3_secret_access_key": secret,
            })
            peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            async with open_http(settings) as http:
                store = Store(settings, http)
                await store.ready()
                store.link("k", "n", "t")
                before = peak()
                digest = hashlib.sha256()
                chunk = bytes(65536)
                with Spool(Path(folder)) as spool:
                    for _ in range(3200):
                        digest.update(chunk)
                        await spool.write(bytes(bytearray(chunk)))
                    sha256 = digest.hexdigest()
                    await store.put(document_key("0" * 20, sha256), spool, sha256, "x/y")
                print(peak() - before)

        asyncio.run(main(*sys.argv[1:]))
        """,
        rclone.address,
        rclone.settings().s3_access_key_id,
        rclone.settings().s3_secret_access_key.get_secret_value(),
        str(tmp_path),
    )
    assert grown < 40 * 1024 * 1024
    assert list(tmp_path.iterdir()) == []


def test_keys_are_checked() -> None:
    for wrong in ("", "1" * 19, "../" + "1" * 17, "1" * 21):
        with pytest.raises(ValueError, match="20 digits"):
            document_key(wrong, "0" * 64)
    for wrong in ("", "0" * 63, "F" * 64, "../../etc"):
        with pytest.raises(ValueError, match="SHA-256"):
            document_key("1" * 20, wrong)
