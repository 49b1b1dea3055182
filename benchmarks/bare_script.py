"""The bare script: a few lines of asyncio, the same HTTP client, the same signed PUT.

It has no status, no retries and no records, and it loses its work when it dies. It shows how fast
the machine, source and store are. `python -m benchmarks.bare_script PORT` serves it.
"""

import asyncio
import base64
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import boto3
import httpx2
from botocore.config import Config

from benchmarks.peer import AT_ONCE, Download, PeerServer


class BareScript:
    """Downloads every document of a case into a bucket.

    Args:
        environment: the settings of the stack.
        http: the client for source, store and callbacks.
    """

    def __init__(self, environment: Mapping[str, str], http: httpx2.AsyncClient) -> None:
        self._source = environment["AUTOS_PDPJ_BASE_URL"]
        self._token = environment["AUTOS_PDPJ_TOKEN"]
        self._bucket = environment["AUTOS_S3_BUCKET"]
        self._http = http
        self._s3 = boto3.client(
            "s3",
            endpoint_url=environment["AUTOS_S3_ENDPOINT"],
            aws_access_key_id=environment["AUTOS_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AUTOS_S3_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    async def download(self, number: str, callback: str) -> None:
        """Download all documents of the case, then call the address."""
        waiting = await self.list_documents(number)
        await asyncio.gather(*(self._lane(number, waiting) for _ in range(AT_ONCE)))
        await self.call_back(number, callback)

    async def list_documents(self, number: str) -> list[str]:
        """The addresses of the documents of a case."""
        detail = await self._get(f"/api/v2/processos/{number}")
        listed = detail.json()[0]["tramitacaoAtual"]["documentos"]
        return [document["hrefBinario"] for document in listed]

    async def copy(self, number: str, href: str) -> str:
        """Copy one document into the bucket; its SHA-256 in hexadecimal."""
        body = (await self._get(f"/api/v2{href}")).content
        digest = hashlib.sha256(body)
        checksum = base64.b64encode(digest.digest()).decode()
        url = self._s3.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": f"script/{number}/{digest.hexdigest()}",
                "ChecksumSHA256": checksum,
                "IfNoneMatch": "*",
            },
        )
        headers = {"x-amz-checksum-sha256": checksum, "if-none-match": "*"}
        stored = await self._http.put(url, content=body, headers=headers)
        stored.raise_for_status()
        return digest.hexdigest()

    async def call_back(self, number: str, callback: str) -> None:
        """POST that the case is done."""
        answer = await self._http.post(callback, json={"process_number": number})
        answer.raise_for_status()

    async def _lane(self, number: str, waiting: list[str]) -> None:
        while waiting:
            await self.copy(number, waiting.pop())

    async def _get(self, path: str) -> httpx2.Response:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "User-Agent": "Mozilla/5.0",
            "Referer": f"{self._source}/consulta",
        }
        reply = await self._http.get(self._source + path, headers=headers)
        reply.raise_for_status()
        return reply


@asynccontextmanager
async def open_script() -> AsyncIterator[BareScript]:
    """The script with a client of 100 connections."""
    limits = httpx2.Limits(max_connections=100)
    async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as http:
        yield BareScript(os.environ, http)


@asynccontextmanager
async def _opened() -> AsyncIterator[Download]:
    async with open_script() as script:
        yield script.download


if __name__ == "__main__":
    PeerServer(_opened).serve(int(sys.argv[1]))
