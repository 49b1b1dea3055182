"""The routes under `/control`, which scripts and tests use; they need no token and count nowhere.

`GET /control/docs` describes them all.
"""

from fastapi import FastAPI

from sandbox import receiver
from sandbox.control import cases, state
from sandbox.world import World


def make_app(world: World) -> FastAPI:
    """The control application over a world, and the receivers of webhooks with it."""
    app = FastAPI(
        title="Sandbox control",
        docs_url="/control/docs",
        redoc_url=None,
        openapi_url="/control/openapi.json",
        routes=[*receiver.ROUTES],
    )
    app.state.world = world
    for part in (state, cases):
        app.include_router(part.router, prefix="/control")
    return app
