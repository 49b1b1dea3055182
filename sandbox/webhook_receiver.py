"""Webhook receivers: they store the requests that they get and respond as configured."""

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.routing import Route

from sandbox.files import Content
from sandbox.replies import Reply, body_reply, json_reply

MAX_KEPT: Final = 1000
HUGE_BYTES: Final = 64 * 1024 * 1024


class Behaviour(BaseModel):
    """How a receiver responds."""

    model_config = ConfigDict(extra="forbid")

    behaviour: Literal["ok", "status", "timeout", "drip", "drop", "huge", "redirect"] = "ok"
    status: int | None = Field(default=None, ge=200, le=599)
    """Status of the response; by default 500 for `status`, 302 for `redirect`, else 200."""
    count: int | None = Field(default=None, ge=0)
    """Number of requests with this behaviour, then `ok` again; None for all."""
    retry_after: int | None = None
    """The `Retry-After` header in seconds."""
    location: str | None = None
    """The URL of a `redirect`."""
    seconds: float | None = Field(default=None, ge=0)
    """`timeout`: delay of the response; None for no response. `drip`: duration of the response."""

    def reply(self) -> Reply:
        """The response."""
        ok = json_reply({"received": True}, self.status or 200)
        if self.retry_after is not None:
            ok = replace(ok, headers=(("retry-after", str(self.retry_after)),))
        match self.behaviour:
            case "ok":
                return ok
            case "status":
                return replace(ok, status=self.status or 500)
            case "timeout" if self.seconds is None:
                return replace(ok, hang=True)
            case "timeout":
                return replace(ok, first_byte_after=self.seconds or 0.0)
            case "drip":
                body = Content("text/plain", b"", b".", 1000)
                return replace(ok, content=body, bytes_per_second=1000 / (self.seconds or 10.0))
            case "drop":
                return replace(ok, reset=True)
            case "huge":
                return replace(ok, content=Content("text/plain", b"", b"x" * 1024, HUGE_BYTES))
            case "redirect":
                headers = (*ok.headers, ("location", self.location or "/"))
                return replace(ok, status=self.status or 302, headers=headers)


@dataclass
class Receiver:
    """A webhook receiver."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    received: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    total: int = 0
    answered: int = 0
    """Requests since the behaviour was set."""

    def set_behaviour(self, behaviour: Behaviour) -> None:
        """Set the behaviour for the next requests."""
        self.behaviour = behaviour
        self.answered = 0

    def receive(self, headers: dict[str, str], body: str) -> Reply:
        """Store a request and return the response."""
        self.total += 1
        self.answered += 1
        count = self.behaviour.count
        behaviour = Behaviour() if count is not None and self.answered > count else self.behaviour
        reply = behaviour.reply()
        self.received.append(
            {
                "id": self.total,
                "at": time.time(),
                "headers": headers,
                "body": body,
                "behaviour": behaviour.behaviour,
                "status": None if reply.hang or reply.reset else reply.status,
            }
        )
        return reply


class Receivers:
    """All receivers by name. A receiver is created when it is first used."""

    def __init__(self) -> None:
        self._receivers: dict[str, Receiver] = {}

    def __getitem__(self, name: str) -> Receiver:
        """The receiver with the given name."""
        return self._receivers.setdefault(name, Receiver())

    def remove(self, name: str) -> None:
        """Remove a receiver."""
        self._receivers.pop(name, None)

    def clear(self) -> None:
        """Remove all receivers."""
        self._receivers.clear()


async def _receive(request: Request) -> Reply:
    receivers: Receivers = request.app.state.sandbox.receivers
    body = (await request.body()).decode("utf-8", "replace")
    return receivers[request.path_params["name"]].receive(dict(request.headers), body)


async def _refuse(_request: Request) -> Reply:
    return body_reply(b"", None, 405)


ROUTES: Final = [
    Route("/receiver/{name}", _receive, methods=["POST"]),
    Route("/receiver/{name}", _refuse),
]
