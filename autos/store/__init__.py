"""All bytes to and from S3 (DESIGN §7)."""

from autos.store.client import (
    Body,
    Held,
    Listed,
    ObjectMissing,
    Readable,
    Store,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from autos.store.keys import document_key, manifest_key, process_prefix

__all__ = [
    "Body",
    "Held",
    "Listed",
    "ObjectMissing",
    "Readable",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "document_key",
    "manifest_key",
    "process_prefix",
]
