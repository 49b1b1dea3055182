"""Counts every request to the portal, from its arrival to the end of its answer."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.world import World

_NAMED: Final = re.compile(
    r"/api/v2/processos/(?P<number>[\d.-]+)(?:/documentos/(?P<document>[^/]+)/(?:binario|texto))?"
)


class Recorder:
    """The application with the counters of its world around it."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        named = _NAMED.fullmatch(scope["path"])
        token = Headers(scope=scope).get("authorization")
        counters = self._world.counters
        request = counters.begin(
            scope["method"],
            scope["path"],
            re.sub(r"\D", "", named["number"]) if named else None,
            named["document"].lower() if named and named["document"] else None,
            token.partition(" ")[2] if token else None,
        )
        # For the routes, which alone know what strikes it.
        scope["logged"] = request

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif message["type"] == "http.response.body":
                request.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            counters.end(request)
