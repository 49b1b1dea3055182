"""What can go wrong with the store. Errors name bucket and key, never a signature."""


class StoreError(Exception):
    """Something was not stored or not found."""

    def __init__(self, what: str, bucket: str, key: str) -> None:
        super().__init__(f"{what} (bucket {bucket!r}, key {key!r})")
        self.bucket = bucket
        self.key = key


class StoreUnavailable(StoreError):
    """The store does not answer, or not well; the same call may work later."""


class StoreRefused(StoreError):
    """The store refuses the call as it is: keys, bucket or rights are wrong."""


class ObjectMissing(StoreError):
    """There is no such object."""
