"""What somebody would write instead: 60 lines of asyncio, the same HTTP client, the same PUT.

It has no status, no retries, no records and loses its work when it dies; it is the speed to be
compared with.
"""

import asyncio
import base64
import hashlib

import boto3
import httpx2
from botocore.config import Config


class BareScript:
    """Downloads every document of a process into a bucket, so many at a time."""

    def __init__(self, environment: dict[str, str], http: httpx2.AsyncClient) -> None:
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

    async def download(self, number: str, at_once: int) -> int:
        """Download all documents of the process; how many there were."""
        detail = await self._get(f"/api/v2/processos/{number}")
        waiting = [
            document["hrefBinario"]
            for document in detail.json()[0]["tramitacaoAtual"]["documentos"]
        ]
        total = len(waiting)

        async def lane() -> None:
            while waiting:
                await self._copy(number, waiting.pop())

        await asyncio.gather(*(lane() for _ in range(at_once)))
        return total

    async def _copy(self, number: str, href: str) -> None:
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

    async def _get(self, path: str) -> httpx2.Response:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "User-Agent": "Mozilla/5.0",
            "Referer": f"{self._source}/consulta",
        }
        reply = await self._http.get(self._source + path, headers=headers)
        reply.raise_for_status()
        return reply
