"""The object store (S3): all bytes to and from it, and links to them."""

from autos.store.bucket import ListedObject
from autos.store.errors import ObjectMissing, StoreError, StoreRefused, StoreUnavailable
from autos.store.object_keys import document_key, manifest_key, process_prefix
from autos.store.objects import Body, Readable, Store, StoredObject

__all__ = [
    "Body",
    "ListedObject",
    "ObjectMissing",
    "Readable",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "StoredObject",
    "document_key",
    "manifest_key",
    "process_prefix",
]
