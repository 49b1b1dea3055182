"""All communication with PDPJ: sending requests politely, judging replies, reading listings.

What is known of PDPJ is in docs/source.md. Nothing here knows of records, the store or Temporal.
"""

from autos.source.client import Downloaded, SourceClient, SourceRefused
from autos.source.courtesy.limits import Limiter, Permits
from autos.source.credentials.provider import CredentialRefused, Credentials
from autos.source.credentials.tokens import (
    Credential,
    CredentialStore,
    StaticCredentialStore,
    UnusableToken,
    read_token,
)
from autos.source.exchange import open_http
from autos.source.listing.models import ListedDocument, ListedMovement, ListedProcess
from autos.source.listing.parse import UnreadableListing, parse_process
from autos.source.replies.judge import Answer, Available, Refused, judge, judge_listing
from autos.source.spool import Spool

__all__ = [
    "Answer",
    "Available",
    "Credential",
    "CredentialRefused",
    "CredentialStore",
    "Credentials",
    "Downloaded",
    "Limiter",
    "ListedDocument",
    "ListedMovement",
    "ListedProcess",
    "Permits",
    "Refused",
    "SourceClient",
    "SourceRefused",
    "Spool",
    "StaticCredentialStore",
    "UnreadableListing",
    "UnusableToken",
    "judge",
    "judge_listing",
    "open_http",
    "parse_process",
    "read_token",
]
