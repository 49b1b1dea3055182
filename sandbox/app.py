"""The ASGI application: the portal, which is counted, and beside it receivers and controls."""

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from sandbox import control, portal
from sandbox.recorder import Recorder
from sandbox.world import World


class Application:
    """The stand-in over a world."""

    def __init__(self, world: World) -> None:
        self._control = control.make_app(world)
        shown = Starlette(routes=portal.ROUTES)
        shown.state.world = world
        self._portal = Recorder(shown, world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        own = scope["path"] == "/control" or scope["path"].startswith(("/control/", "/receiver/"))
        await (self._control if own else self._portal)(scope, receive, send)
