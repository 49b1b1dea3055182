"""The object store as the routes use it: its errors become problems the client can read."""

import uuid
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from api.problems import STORE_UNAVAILABLE, unavailable
from autos.store import Held, StoreError
from autos.store.keys import PROCESSES_PREFIX

log = structlog.get_logger(__name__)

_PROBES: Final = f"{PROCESSES_PREFIX}.probe/"
"""No key of a process begins with it; the rights that the README asks for hold for it."""


class Store(Protocol):
    """The calls the API makes of `autos.store.Store`."""

    def link(self, key: str, filename: str, content_type: str) -> str:
        """Mint an address; asks nobody."""
        ...

    async def head(self, key: str) -> Held | None:
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

    async def ready(self) -> bool:
        """Say whether the bucket can be reached."""
        ...


class Objects:
    """Documents and manifests in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.link = store.link

    async def holds(self, key: str) -> bool:
        """Whether there is such an object.

        Raises:
            Problem: the store cannot be reached.
        """
        try:
            return await self._store.head(key) is not None
        except StoreError as error:
            log.warning("store_unavailable", error=type(error).__name__)
            raise unavailable(STORE_UNAVAILABLE) from error

    async def delete_all(self, digits: str) -> None:
        """Delete everything that is kept of a process.

        Raises:
            Problem: the store cannot be reached; part of it may be deleted.
        """
        try:
            await self._store.delete_prefix(digits)
        except StoreError as error:
            log.warning("store_unavailable", error=type(error).__name__)
            raise unavailable(STORE_UNAVAILABLE) from error

    async def ready(self) -> None:
        """Ask the store one small question.

        Raises:
            Problem: it cannot be reached.
        """
        if not await self._store.ready():
            raise unavailable(STORE_UNAVAILABLE)

    async def probe(self) -> None:
        """Store, read and delete one small object.

        Raises:
            Problem: the store does not do all three.
        """
        key = f"{_PROBES}{uuid.uuid4()}.json"
        try:
            await self._store.put_json(key, b"{}")
            try:
                await self._store.get(key)
            finally:
                await self._store.delete([key])
        except StoreError as error:
            log.warning("store_unavailable", error=type(error).__name__)
            raise unavailable(STORE_UNAVAILABLE) from error
