"""Signed addresses of objects (SigV4 in the query): what a request is sent to, what a link is.

They are what boto3 would sign, at a tenth of its price: boto3 derives the day's key and builds a
request anew for each. Where an object is, is still for boto3 to say.

A signed address is a secret for as long as it lasts: it goes into requests and answers, never into
a log line, an error or the records.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import boto3
from botocore import UNSIGNED

from autos.settings import Settings
from autos.store.access import Access, Keys, client_options

SIGNED_FOR_SECONDS: Final = 900
"""How long the store's own requests may take to begin."""
LONGEST_LINK_SECONDS: Final = 604_800
"""SigV4's own limit, 7 days; stores refuse longer ones when they are opened."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_USUAL_PORTS: Final = {"http": 80, "https": 443}


class Signer:
    """Signs requests for one bucket at one endpoint.

    Args:
        settings: bucket and region.
        access: the keys to sign with.
        endpoint: of the store, as those reach it who open the address; empty for AWS.
    """

    def __init__(self, settings: Settings, access: Access, endpoint: str) -> None:
        # The address of an object, less the object.
        place = urlsplit(_address_of(settings, endpoint, "k").removesuffix("/k"))
        port = "" if place.port in (None, _USUAL_PORTS.get(place.scheme)) else f":{place.port}"
        name = f"[{place.hostname}]" if ":" in (place.hostname or "") else place.hostname
        self._origin = f"{place.scheme}://{place.netloc}"
        self._host = f"{name}{port}"
        self._path = place.path
        self._region = settings.s3_region
        self._access = access
        self._day: tuple[Keys, str, bytes] | None = None

    def url(
        self,
        method: str,
        key: str,
        seconds: int,
        at: float,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """The signed address for one request.

        Args:
            method: of the request.
            key: of the object.
            seconds: for which the address opens; at most 7 days.
            at: when those begin, in seconds since the epoch.
            query: what the request asks for beside the object; names of letters and dashes.
            headers: that the request must carry, by lower-case names.

        Raises:
            StoreUnavailable: there are no access keys.
        """
        keys = self._access.held()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        signed = sorted({"host": self._host, **(headers or {})}.items())
        names = ";".join(name for name, _ in signed)
        members = {
            **(query or {}),
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{keys.id}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(min(seconds, LONGEST_LINK_SECONDS)),
            "X-Amz-SignedHeaders": names,
        }
        if keys.token is not None:
            members["X-Amz-Security-Token"] = keys.token
        pairs = [(name, quote(value, safe="")) for name, value in members.items()]
        path = self._path + "/" + quote(key, safe="/")
        request = "\n".join(
            (
                method,
                path,
                "&".join(f"{name}={value}" for name, value in sorted(pairs)),
                *(f"{name}:{' '.join(value.split())}" for name, value in signed),
                "",
                names,
                "UNSIGNED-PAYLOAD",
            )
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.digest(
            self._key(keys, moment[:8]),
            f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(),
            "sha256",
        ).hex()
        given = "&".join(f"{name}={value}" for name, value in pairs)
        return f"{self._origin}{path}?{given}&X-Amz-Signature={signature}"

    def _key(self, keys: Keys, day: str) -> bytes:
        """The key that signs on one day, derived once."""
        if self._day is None or self._day[:2] != (keys, day):
            derived = f"AWS4{keys.secret}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                derived = hmac.digest(derived, part.encode(), "sha256")
            self._day = (keys, day, derived)
        return self._day[2]


def _address_of(settings: Settings, endpoint: str, key: str) -> str:
    """Where boto3 has an object; asks nobody and needs no keys."""
    client = boto3.client("s3", **client_options(settings, endpoint, signature_version=UNSIGNED))
    address: str = client.generate_presigned_url(
        "get_object", Params={"Bucket": settings.s3_bucket, "Key": key}
    )
    return address
