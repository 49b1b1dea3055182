"""The object store as the routes use it: its errors become problems the client can read."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from api.problems import STORE_UNAVAILABLE, unavailable
from autos.store import StoredObject, StoreError
from autos.store.object_keys import PROCESSES_PREFIX

log = structlog.get_logger(__name__)

_PROBES: Final = f"{PROCESSES_PREFIX}.probe/"
"""No key of a process begins with it; the rights that the README asks for hold for it."""


class Store(Protocol):
    """The calls the API makes of `autos.store.Store`."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        """Mint an address; asks nobody."""
        ...

    async def head(self, key: str) -> StoredObject | None:
        """Say what is held under a key."""
        ...

    async def get(self, key: str) -> bytes:
        """Read a small object."""
        ...

    async def put_json(self, key: str, data: bytes) -> None:
        """Store a JSON text."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects."""
        ...

    async def delete_prefix(self, digits: str) -> int:
        """Delete all that is kept of a process."""
        ...

    async def reachable(self) -> bool:
        """Say whether the bucket is there."""
        ...

    async def ready(self) -> bool:
        """Say whether the bucket takes an object; puts one."""
        ...


PROBED_FOR_SECONDS: Final = 60.0
"""How long a bucket that took an object is believed to take another."""


class ObjectStore:
    """Documents and manifests in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._believed_until = 0.0

    def link(self, key: str, filename: str, content_type: str) -> str:
        """An address that opens the object for a while.

        Raises:
            Problem: there are no access keys to sign with, for the moment.
        """
        with _translated():
            return self._store.link(key, filename, content_type)

    async def holds(self, key: str) -> bool:
        """Whether there is such an object.

        Raises:
            Problem: the store cannot be reached.
        """
        with _translated():
            return await self._store.head(key) is not None

    async def delete_all(self, digits: str) -> None:
        """Delete everything that is kept of a process.

        Raises:
            Problem: the store cannot be reached; part of it may be deleted.
        """
        with _translated():
            await self._store.delete_prefix(digits)

    async def ready(self) -> None:
        """Ask the store one small question, and once a minute have it take a tiny object.

        Raises:
            Problem: it cannot be reached, or takes nothing.
        """
        if not await self._store.reachable():
            raise unavailable(STORE_UNAVAILABLE)
        if time.monotonic() < self._believed_until:
            return
        if not await self._store.ready():
            raise unavailable(
                STORE_UNAVAILABLE,
                "The bucket is there, but takes no objects: look at its quota, its free space and "
                "the rights of the access keys.",
            )
        self._believed_until = time.monotonic() + PROBED_FOR_SECONDS

    async def probe(self) -> None:
        """Store, read and delete one small object.

        Raises:
            Problem: the store does not do all three.
        """
        key = f"{_PROBES}{uuid.uuid4()}.json"
        with _translated():
            await self._store.put_json(key, b"{}")
            try:
                await self._store.get(key)
            finally:
                await self._store.delete([key])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        log.warning("store_unavailable", error=type(error).__name__)
        raise unavailable(STORE_UNAVAILABLE) from error
