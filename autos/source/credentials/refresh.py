"""The one question to the source's single sign-on: the next token for a refresh token.

It is bounded in time and size, and whatever comes back is an answer: the next credential, the same
one if it cannot be had now, or the same one without a refresh token that is refused for good.
"""

import asyncio
import json
import ssl
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Final

import httpx2

from autos.source.credentials.tokens import Credential, UnusableToken, read_token

_LONGEST_ANSWER: Final = 1024 * 1024
_NO_ANSWER: Final = (
    TimeoutError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    ssl.SSLError,
    ValueError,
    RecursionError,
)


class Refresher:
    """Asks the token endpoint.

    Args:
        http: shared, not closed.
        url: the token endpoint; empty if there is none.
        client_id: of the public client that the tokens were issued to.
    """

    def __init__(self, http: httpx2.AsyncClient, url: str, client_id: str) -> None:
        self._http = http
        self._url = url
        self._client_id = client_id

    def can_refresh(self, credential: Credential) -> bool:
        """Whether there is something to ask with, and somewhere to ask."""
        return bool(credential.refresh_token and self._url)

    async def next_of(self, credential: Credential, longest: timedelta) -> Credential:
        """The credential that follows; the given one where none is to be had.

        The refresh token is gone from the answer if it will never be taken again.
        """
        try:
            async with asyncio.timeout(longest.total_seconds()):
                status, answer = await self._ask(credential.refresh_token or "")
        except _NO_ANSWER:
            return credential
        if not isinstance(answer, dict):
            return credential
        if answer.get("error") == "invalid_grant":
            return replace(credential, refresh_token=None)
        rotated = answer.get("refresh_token")
        try:
            token = read_token(str(answer.get("access_token") or ""))
        except UnusableToken:
            return credential
        if status != 200:
            return credential
        return replace(
            credential,
            access_token=token,
            refresh_token=(rotated if isinstance(rotated, str) else "") or credential.refresh_token,
        )

    async def _ask(self, refresh_token: str) -> tuple[int, object]:
        body = bytearray()
        form = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "refresh_token": refresh_token,
        }
        async with (
            self._http.stream("POST", self._url, data=form) as reply,
            aclosing(reply.aiter_bytes()) as chunks,
        ):
            async for chunk in chunks:
                body += chunk
                if len(body) > _LONGEST_ANSWER:
                    raise ValueError("The token endpoint's answer is no token.")
        return reply.status_code, json.loads(body)
