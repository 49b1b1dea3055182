"""Calls on the bucket as a whole: create it, list it, delete objects.

They use boto3 in a thread. Documents do not: boto3 needs three times the CPU for them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from autos.settings import Settings
from autos.store.access_keys import AccessKeyProvider
from autos.store.errors import StoreError, StoreRefused, StoreUnavailable
from autos.store.object_keys import PROCESSES_PREFIX, process_prefix

_MAX_KEYS: Final = 1000
"""Maximum number of keys that S3 lists or deletes in one call."""


class ListedObject(NamedTuple):
    """One object of a listing."""

    key: str
    modified_at: datetime


class Bucket:
    """The bucket of the settings. Methods raise StoreUnavailable or StoreRefused.

    Args:
        settings: bucket, endpoint, region, access keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._bucket = settings.s3_bucket
        self._region = settings.s3_region
        self._access_keys = AccessKeyProvider(settings)
        self._client: Any = None

    async def ensure_bucket(self) -> None:
        """Find the access keys, and create the bucket unless it exists."""
        await self._access_keys.wait()
        if await self._exists():
            return
        location: dict[str, Any] = {}
        if self._region != "us-east-1":
            location["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        try:
            await self._call("create_bucket", **location)
        except StoreRefused:
            # Another process may have created it meanwhile.
            if not await self._exists():
                raise

    async def reachable(self) -> bool:
        """True if the store answers and the bucket exists and is open to these access keys."""
        try:
            return await self._exists()
        except StoreError:
            return False

    async def list_keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with `prefix`, in order."""
        key, more = "", True
        while more:
            objects, more = await self.list_page(key, _MAX_KEYS, prefix)
            for key, _ in objects:
                yield key

    async def list_page(
        self, after: str, limit: int, prefix: str = PROCESSES_PREFIX
    ) -> tuple[list[ListedObject], bool]:
        """One page of objects, by key, and whether more follow.

        Args:
            after: the last key of the page before; empty for the first page.
            limit: objects of this page; at most 1,000.
            prefix: of the keys; by default documents and manifests of all processes.
        """
        start = {"StartAfter": after} if after else {}
        answer = await self._call(
            "list_objects_v2", prefix, Prefix=prefix, MaxKeys=min(limit, _MAX_KEYS), **start
        )
        listed = [
            ListedObject(item["Key"], item["LastModified"]) for item in answer.get("Contents", ())
        ]
        return listed, bool(answer.get("IsTruncated"))

    async def delete_prefix(self, digits: str) -> int:
        """Delete all objects of a process; returns how many there were."""
        keys = [key async for key in self.list_keys(process_prefix(digits))]
        await self.delete(keys)
        return len(keys)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects; deleting one that does not exist succeeds."""
        for start in range(0, len(keys), _MAX_KEYS):
            batch = [{"Key": key} for key in keys[start : start + _MAX_KEYS]]
            answer = await self._call(
                "delete_objects", keys[start], Delete={"Objects": batch, "Quiet": True}
            )
            if answer.get("Errors"):
                raise StoreUnavailable(
                    f"{len(answer['Errors'])} objects could not be deleted; delete them again",
                    self._bucket,
                    keys[start],
                )

    async def _exists(self) -> bool:
        try:
            await asyncio.to_thread(self._call_in_thread, "head_bucket", {})
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise self._translated(error, "") from None
        except BotoCoreError as error:
            raise self._translated(error, "") from None
        return True

    async def _call(self, operation: str, key: str = "", **parameters: Any) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._call_in_thread, operation, parameters)
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error, key) from None

    def _call_in_thread(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if self._client is None:
            self._client = self._access_keys.open_client()
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        return call(Bucket=self._bucket, **parameters)

    def _translated(self, error: ClientError | BotoCoreError, key: str) -> StoreError:
        if isinstance(error, ClientError) and 400 <= _status(error) < 500:
            what = (
                f"The store refused {error.operation_name} with HTTP {_status(error)}: "
                "check AUTOS_S3_BUCKET, the access keys and their rights"
            )
            return StoreRefused(what, self._bucket, key)
        return StoreUnavailable(
            f"The call of the store failed ({type(error).__name__}); is AUTOS_S3_ENDPOINT up?",
            self._bucket,
            key,
        )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
