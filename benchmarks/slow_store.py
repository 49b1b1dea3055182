"""An S3 sink with a fixed latency: `python -m benchmarks.slow_store PORT MILLISECONDS`.

It stands for a real S3's network time. It keeps nothing and checks nothing; correctness is tested
against rclone and moto.
"""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SlowStore:
    """Takes every PUT after the given time and answers every other request at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        digest, more = hashlib.md5(), True
        while more:
            message = await receive()
            digest.update(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["method"] == "PUT":
            await asyncio.sleep(self._seconds)
        headers = [(b"content-length", b"0"), (b"etag", f'"{digest.hexdigest()}"'.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        SlowStore(int(sys.argv[2]) / 1000),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        lifespan="off",
    )
