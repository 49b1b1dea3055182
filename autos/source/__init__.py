"""All communication with PDPJ: rate-limited requests, classification of replies, parsing of
listings.

docs/source.md describes PDPJ. Nothing here imports records, store or Temporal.
"""

from autos.source.client import Downloaded, SourceClient, SourceRefused
from autos.source.credentials.provider import CredentialRefused, Credentials
from autos.source.credentials.tokens import Credential, CredentialStore, read_token
from autos.source.http_exchange import open_http
from autos.source.limits.limiter import Limiter
from autos.source.listing.models import ListedDocument, ListedMovement, ListedProcess
from autos.source.replies.judge import Refused
from autos.source.spool import Spool

__all__ = [
    "Credential",
    "CredentialRefused",
    "CredentialStore",
    "Credentials",
    "Downloaded",
    "Limiter",
    "ListedDocument",
    "ListedMovement",
    "ListedProcess",
    "Refused",
    "SourceClient",
    "SourceRefused",
    "Spool",
    "open_http",
    "read_token",
]
