"""Every route declares its access: public, any valid key, or an admin key."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from fastapi.routing import RouteContext, iter_route_contexts

from api.app import create_app
from api.http.auth import authenticated, require_admin
from api.http.parameters import PREFIX, SIGNED_RECEIVER
from autos.settings import Settings

PUBLIC: Final = {
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/oauth2-redirect",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    # A valid signature replaces the key.
    f"POST {SIGNED_RECEIVER}{{api_key_id}}",
}
ADMIN: Final = {
    f"DELETE {PREFIX}/processes/{{number}}",
    f"GET {PREFIX}/api-keys",
    f"POST {PREFIX}/api-keys",
    f"DELETE {PREFIX}/api-keys/{{key_id}}",
    f"GET {PREFIX}/credentials/pdpj",
    f"PUT {PREFIX}/credentials/pdpj",
    f"POST {PREFIX}/reconciliations",
    f"GET {PREFIX}/reconciliations/{{reconciliation_id}}",
    f"GET {PREFIX}/diagnosis",
}


def dependencies(route: RouteContext) -> set[Callable[..., Any] | None]:
    """The direct dependencies of the route and its routers."""
    dependant = getattr(route, "dependant", None)
    return {one.call for one in dependant.dependencies} if dependant else set()


ROUTES: Final = {
    f"{method} {route.path}": dependencies(route)
    for route in iter_route_contexts(create_app(Settings()).routes)
    for method in sorted((route.methods or set()) - {"HEAD"})
}


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_every_route_declares_its_access(route: str) -> None:
    any_key = authenticated.dependency in ROUTES[route]
    admin = require_admin.dependency in ROUTES[route]
    if route in PUBLIC:
        assert not any_key
        assert not admin
    else:
        assert any_key or admin
        assert admin == (route in ADMIN)


def test_access_lists_contain_only_existing_routes() -> None:
    assert ROUTES.keys() >= PUBLIC | ADMIN
