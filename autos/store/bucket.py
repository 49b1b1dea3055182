"""The rare calls about the bucket itself: make it, list it, empty a prefix.

These go through boto3 in a thread; documents never do: it takes three times the CPU.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from autos.store.errors import StoreRefused, StoreUnavailable

_AT_ONCE: Final = 1000
"""S3 deletes at most so many keys in one call."""


class Listed(NamedTuple):
    """One object of a listing."""

    key: str
    modified_at: datetime


class Control:
    """Calls about one bucket.

    Args:
        open_client: makes a boto3 client; called in a thread, with the first call.
        bucket: its name.
        region: where it is made.
    """

    def __init__(self, open_client: Callable[[], Any], bucket: str, region: str) -> None:
        self._open_client = open_client
        self._client: Any = None
        self._bucket = bucket
        self._region = region

    async def ensure_bucket(self) -> None:
        """Make the bucket unless it is there.

        Raises:
            StoreUnavailable, StoreRefused: it is not there and cannot be made.
        """
        if await self.has_bucket():
            return
        place: dict[str, Any] = {}
        if self._region != "us-east-1":
            place["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        try:
            await self._call("create_bucket", **place)
        except StoreRefused:
            # Somebody else may have made it meanwhile.
            if not await self.has_bucket():
                raise

    async def has_bucket(self) -> bool:
        """True if the bucket is there.

        Raises:
            StoreUnavailable, StoreRefused: the store does not say.
        """
        try:
            await asyncio.to_thread(self._in_thread, "head_bucket", {})
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise self._translated(error, "") from None
        except BotoCoreError as error:
            raise self._translated(error, "") from None
        return True

    async def list_keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with `prefix`, in the store's order."""
        page: dict[str, str] = {}
        while True:
            answer = await self._call("list_objects_v2", prefix, Prefix=prefix, **page)
            for item in answer.get("Contents", ()):
                yield item["Key"]
            if not answer.get("IsTruncated"):
                return
            page = {"ContinuationToken": answer["NextContinuationToken"]}

    async def list_page(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        """At most `limit` objects under `prefix` that come after `after`; and whether more do."""
        place = {"StartAfter": after} if after else {}
        answer = await self._call(
            "list_objects_v2", prefix, Prefix=prefix, MaxKeys=min(limit, _AT_ONCE), **place
        )
        listed = [Listed(item["Key"], item["LastModified"]) for item in answer.get("Contents", ())]
        return listed, bool(answer.get("IsTruncated"))

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every object under `prefix`; answers how many there were."""
        keys = [key async for key in self.list_keys(prefix)]
        await self.delete(keys)
        return len(keys)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects; one that is not there is deleted already."""
        for start in range(0, len(keys), _AT_ONCE):
            batch = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
            answer = await self._call(
                "delete_objects", keys[start], Delete={"Objects": batch, "Quiet": True}
            )
            if answer.get("Errors"):
                raise StoreUnavailable(
                    f"{len(answer['Errors'])} objects could not be deleted; delete them again",
                    self._bucket,
                    keys[start],
                )

    async def _call(self, operation: str, key: str = "", **parameters: Any) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._in_thread, operation, parameters)
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error, key) from None

    def _in_thread(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if self._client is None:
            self._client = self._open_client()
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        return call(Bucket=self._bucket, **parameters)

    def _translated(
        self, error: ClientError | BotoCoreError, key: str
    ) -> StoreRefused | StoreUnavailable:
        if isinstance(error, ClientError) and 400 <= _status(error) < 500:
            what = (
                f"The store refused {error.operation_name} with HTTP {_status(error)}: "
                "check AUTOS_S3_BUCKET, the access keys and their rights"
            )
            return StoreRefused(what, self._bucket, key)
        return StoreUnavailable(
            f"The store did not answer well ({type(error).__name__}); is AUTOS_S3_ENDPOINT up?",
            self._bucket,
            key,
        )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
