"""Signed addresses of objects: boto3 signs (SigV4), nobody sends here.

A signed address is a secret for as long as it lasts: it goes into requests and answers, never into
a log line, an error or the records.
"""

from typing import Any, Final

import boto3
from botocore.config import Config

from autos.settings import Settings

SIGNED_FOR_SECONDS: Final = 900
"""How long the store's own requests may take to begin."""
LONGEST_LINK_SECONDS: Final = 604_800
"""SigV4's own limit, 7 days; boto3 does not check it (facts/transfer-and-libraries.md §A6)."""

_CONTROL_CONNECTIONS: Final = 10


def open_client(settings: Settings, endpoint: str) -> Any:
    """A boto3 client for this endpoint; an empty one is AWS in the configured region.

    Keys that are not set leave boto3 its own ways to find some, such as an instance's role.
    """
    # Without a region in the host name AWS answers requests to young buckets with a redirect.
    address = endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "virtual"},
            # Compatible stores trip over the checksums boto3 adds by itself (§A6).
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=_CONTROL_CONNECTIONS,
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )


class Signer:
    """Signs requests for one bucket at one endpoint."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def url(
        self, operation: str, key: str, seconds: int = SIGNED_FOR_SECONDS, **parameters: str
    ) -> str:
        """The signed address for one boto3 operation, such as `get_object`."""
        url: str = self._client.generate_presigned_url(
            operation,
            Params={"Bucket": self._bucket, "Key": key, **parameters},
            ExpiresIn=min(seconds, LONGEST_LINK_SECONDS),
        )
        return url
