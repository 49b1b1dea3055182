"""Errors of the object store. Messages name the bucket and the key, never a signature."""


class StoreError(Exception):
    """A call to the object store failed."""

    def __init__(self, what: str, bucket: str, key: str) -> None:
        super().__init__(f"{what} (bucket {bucket!r}, key {key!r})")
        self.bucket = bucket
        self.key = key


class StoreUnavailable(StoreError):
    """The store did not answer, or reported a server error; a retry may succeed."""


class StoreRefused(StoreError):
    """The store refused the call; bucket, access keys or their rights must be corrected."""


class ObjectMissing(StoreError):
    """No object exists under the key."""
