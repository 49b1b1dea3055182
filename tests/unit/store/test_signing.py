"""Signed URLs are identical to boto3's, at a fraction of the cost."""

import time
from datetime import UTC, datetime
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config

from autos.settings import Settings
from autos.store.access_keys import AccessKey, AccessKeyProvider
from autos.store.links import attachment
from autos.store.signing import MAX_LINK_SECONDS, UrlSigner

NOON: Final = datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)
KEY: Final = "processes/99900028620248260100/" + "5e" * 32
NAMES: Final = (
    "a.pdf",
    "Petição Inicial (1ª via) — nº 12/2024.pdf",
    "日本 ~ a+b & c=d; e%20f.pdf",
    "x" * 300 + ".html",
)


class FixedKey(AccessKeyProvider):
    """A provider of a fixed key."""

    def __init__(self, settings: Settings, token: str | None) -> None:
        super().__init__(settings)
        self._key = AccessKey("AKID/WITH+SIGNS", "secret/+=", token)


def settings(**changes: object) -> Settings:
    return Settings.model_validate(
        {
            "s3_endpoint": "http://s3.internal:9000",
            "s3_bucket": "autos",
            "s3_access_key_id": "AKID/WITH+SIGNS",
            "s3_secret_access_key": "secret/+=",
        }
        | changes
    )


def client(given: Settings, endpoint: str, token: str | None) -> Any:
    """A plain boto3 client."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint or f"https://s3.{given.s3_region}.amazonaws.com",
        region_name=given.s3_region,
        aws_access_key_id="AKID/WITH+SIGNS",
        aws_secret_access_key="secret/+=",
        aws_session_token=token,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "virtual"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.mark.parametrize(
    ("endpoint", "bucket", "region"),
    [
        ("http://s3.internal:9000", "autos", "us-east-1"),
        ("http://127.0.0.1:80", "autos", "us-east-1"),
        ("https://files.example:443", "autos", "sa-east-1"),
        ("https://files.example:8443", "autos.with.dots", "sa-east-1"),
        ("http://[::1]:9000", "autos", "us-east-1"),
        ("https://files.example/below/", "autos", "us-east-1"),
        ("https://Files.Example", "autos", "us-east-1"),
        ("", "autos", "us-east-1"),
        ("", "autos", "sa-east-1"),
        ("", "autos.with.dots", "sa-east-1"),
    ],
)
@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzE//+a=="])
def test_signed_urls_are_identical_to_boto3s(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, bucket: str, region: str, token: str | None
) -> None:
    """(S29) GET with any name, conditional PUT and HEAD, also with temporary keys."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: NOON.replace(tzinfo=None))
    given = settings(s3_endpoint=endpoint, s3_bucket=bucket, s3_region=region)
    signer, theirs = (
        UrlSigner(given, FixedKey(given, token), endpoint),
        client(given, endpoint, token),
    )

    def boto3s(operation: str, key: str, seconds: int, **parameters: str) -> str:
        url: str = theirs.generate_presigned_url(
            operation, Params={"Bucket": bucket, "Key": key, **parameters}, ExpiresIn=seconds
        )
        return url

    at = NOON.timestamp()
    for key in (KEY, "k", "com espaço/ção~'()*!&+=?#%20.json"):
        for name in NAMES:
            query = {
                "response-content-disposition": attachment(name),
                "response-content-type": "text/html; charset=utf-8",
            }
            assert signer.url("GET", key, 3900, at, query=query) == boto3s(
                "get_object",
                key,
                3900,
                ResponseContentDisposition=query["response-content-disposition"],
                ResponseContentType=query["response-content-type"],
            )
        assert signer.url("GET", key, 900, at) == boto3s("get_object", key, 900)
        checksum = {"x-amz-checksum-mode": "ENABLED"}
        assert signer.url("HEAD", key, 900, at, headers=checksum) == boto3s(
            "head_object", key, 900, ChecksumMode="ENABLED"
        )
        written = {
            "content-type": "application/pdf",
            "x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
            "if-none-match": "*",
        }
        assert signer.url("PUT", key, 900, at, headers=written) == boto3s(
            "put_object",
            key,
            900,
            ContentType="application/pdf",
            ChecksumSHA256=written["x-amz-checksum-sha256"],
            IfNoneMatch="*",
        )


def test_signing_key_changes_at_midnight() -> None:
    """(S29) The cached signing key is valid for one day."""
    given = settings()
    signer = UrlSigner(given, AccessKeyProvider(given), given.s3_endpoint)
    midnight = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    before, after = signer.url("GET", "k", 60, midnight - 1), signer.url("GET", "k", 60, midnight)
    assert "%2F20261124%2F" in before
    assert "%2F20261125%2F" in after
    again = UrlSigner(given, AccessKeyProvider(given), given.s3_endpoint)
    assert again.url("GET", "k", 60, midnight) == after


def test_signed_url_is_valid_for_at_most_seven_days() -> None:
    given = settings()
    url = UrlSigner(given, AccessKeyProvider(given), given.s3_endpoint).url(
        "GET", "k", 10_000_000, 0.0
    )
    assert f"X-Amz-Expires={MAX_LINK_SECONDS}&" in url


def test_signing_costs_a_fraction_of_boto3s() -> None:
    """(S29) Measured together in CPU time, so a busy machine affects both."""
    given = settings()
    signer, theirs = (
        UrlSigner(given, AccessKeyProvider(given), given.s3_endpoint),
        client(given, "http://s", None),
    )
    dispositions = [attachment(f"Petição {number}.pdf") for number in range(1000)]

    def ours() -> None:
        for name in dispositions:
            signer.url("GET", KEY, 3900, 0.0, query={"response-content-disposition": name})

    def boto3s() -> None:
        for name in dispositions:
            parameters = {"Bucket": "autos", "Key": KEY, "ResponseContentDisposition": name}
            theirs.generate_presigned_url("get_object", Params=parameters, ExpiresIn=3900)

    costs = []
    for mint in (ours, boto3s):
        begun = time.process_time()
        mint()
        costs.append(time.process_time() - begun)
    assert costs[0] < costs[1] / 2
