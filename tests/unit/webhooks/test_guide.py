"""The code snippets of the receiver guide, run as a receiver would."""

import asyncio
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from autos.contracts.deliveries import OVERLAP_SECONDS, TIMEOUT_SECONDS
from autos.contracts.retries import WEBHOOK_MAX_RETRY_AFTER
from autos.vault import Vault
from autos.webhooks.events import MAX_DOCUMENTS, TestEvent, encode
from autos.webhooks.secrets import Scheme, Secrets
from autos.webhooks.sender import Failure
from autos.webhooks.signing import headers

DOCS = Path(__file__).parents[3] / "docs"
GUIDE = (DOCS / "how-to" / "receive-webhooks.md").read_text()
CONTRACT = (DOCS / "reference" / "webhooks.md").read_text()
NOW = datetime.now(UTC)
VAULT = Vault(SecretStr("a key that is long enough for the tests"))
SECRETS = Secrets().with_new(Scheme.SYMMETRIC, VAULT, NOW).with_new(Scheme.ASYMMETRIC, VAULT, NOW)
SECRET = SECRETS.opened(VAULT, NOW)[0]
PUBLIC_KEY = SECRETS.public_keys(VAULT, NOW)[0]
BODY = encode(TestEvent(timestamp=NOW, data={"message": "é \u2028"}))
NODE = shutil.which("node")

Verify = Callable[[str, dict[str, str], str], Awaitable[Any]]


def snippet(language: str) -> str:
    """The code block marked `verify`."""
    (found,) = re.findall(rf"```{language} verify\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


async def in_python(key: str, signed: dict[str, str], body: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(snippet("python"), "receive-webhooks.md", "exec"), names)
    return names["verify"](key, signed, body.encode())


async def in_javascript(key: str, signed: dict[str, str], body: str) -> Any:
    if NODE is None:
        pytest.skip("Node is not installed: the guide's JavaScript was not run.")
    program = f"""{snippet("js")}
    const [key, headers, body] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify(verify(key, headers, Buffer.from(body, "utf8"))));"""
    process = await asyncio.create_subprocess_exec(
        NODE,
        "--eval",
        program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate(json.dumps([key, signed, body]).encode())
    assert process.returncode == 0
    return json.loads(output)


def signed_at(at: datetime) -> dict[str, str]:
    return headers(SECRETS.signers(VAULT, NOW), "evt_1", at, BODY)


@pytest.mark.parametrize("verify", [in_python, in_javascript])
async def test_valid_webhook_is_accepted(verify: Verify) -> None:
    assert await verify(SECRET, signed_at(datetime.now(UTC)), BODY) == json.loads(BODY)


async def test_valid_webhook_is_accepted_with_the_public_key() -> None:
    assert await in_javascript(PUBLIC_KEY, signed_at(datetime.now(UTC)), BODY) == json.loads(BODY)


@pytest.mark.parametrize("verify", [in_python, in_javascript])
@pytest.mark.parametrize("key", ["another", "public"])
async def test_webhook_is_rejected_with_another_key(verify: Verify, key: str) -> None:
    another = Secrets().with_new(Scheme.SYMMETRIC, VAULT, NOW).opened(VAULT, NOW)[0]
    if key == "public" and verify is in_javascript:
        pair = Secrets().with_new(Scheme.ASYMMETRIC, VAULT, NOW)
        another = pair.public_keys(VAULT, NOW)[0]
    assert await verify(another, signed_at(datetime.now(UTC)), BODY) is None


@pytest.mark.parametrize("verify", [in_python, in_javascript])
@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({}, BODY + " "),
        ({"webhook-id": "evt_2"}, BODY),
        ({"webhook-signature": "v1,AAAA"}, BODY),
        ({"webhook-signature": "v1"}, BODY),
        ({"webhook-timestamp": "yesterday"}, BODY),
    ],
)
async def test_changed_webhook_is_rejected(
    verify: Verify, changed: dict[str, str], body: str
) -> None:
    assert await verify(SECRET, signed_at(datetime.now(UTC)) | changed, body) is None


@pytest.mark.parametrize("verify", [in_python, in_javascript])
@pytest.mark.parametrize("minutes", [-6, 6])
async def test_webhook_with_a_wrong_time_is_rejected(verify: Verify, minutes: int) -> None:
    assert (
        await verify(SECRET, signed_at(datetime.now(UTC) + timedelta(minutes=minutes)), BODY)
        is None
    )


def test_documented_numbers_match_the_code() -> None:
    words = " ".join(CONTRACT.split())
    assert "5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, and every 8 h" in words
    assert f"**{TIMEOUT_SECONDS:.0f} seconds**" in words
    assert f"never more than {WEBHOOK_MAX_RETRY_AFTER // 3600} hours" in words
    assert f"**{OVERLAP_SECONDS // 3600} hours**" in words
    assert f"more than {MAX_DOCUMENTS:,} documents" in words


@pytest.mark.parametrize("failure", Failure)
def test_guide_explains_every_failure(failure: Failure) -> None:
    assert f"| `{failure}` |" in GUIDE
