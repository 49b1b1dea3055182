"""Odd requests made from the API's own description: none is a 500, every answer is described."""

from typing import Any, Final

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from api import downloads
from api.app import create_app
from autos.cnj import CaseNumber
from autos.settings import Settings
from tests.integration.api_parts import problem

EXAMPLES: Final = 8

_schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
# Health and metrics take no parameter, so nothing about them can be odd.
_operations = [
    found.ok()
    for found in _schema.get_all_operations()
    if isinstance(found, Ok) and found.ok().path.startswith("/api/")
]


def requests(operation: Any, mode: GenerationMode, number: str | None) -> list[dict[str, Any]]:
    """Requests for the operation: such as fit its description, or such as do not."""
    made: list[dict[str, Any]] = []
    parameters = {"number": number} if number and "{number}" in operation.path else None

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(mode, path_parameters=parameters))
    def collect(case: Any) -> None:
        made.append(case.as_transport_kwargs(base_url="http://api"))

    collect()
    return made


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", _operations, ids=lambda operation: operation.label)
async def test_no_request_breaks_it(
    api: httpx2.AsyncClient,
    case: CaseNumber,
    operation: Any,
    mode: GenerationMode,
    admin: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloads, "METADATA_PATIENCE_SECONDS", 0.0)
    described = set(operation.definition.raw["responses"])
    for number in (case.digits, None):
        for request in requests(operation, mode, number):
            request.pop("cookies", None)
            if "data" in request:
                request["content"] = request.pop("data")
            headers = {
                name: value
                for name, value in request.pop("headers").items()
                if name.lower() not in ("authorization", "x-api-key")
            }
            response = await api.request(**request, headers={**headers, **admin})
            assert response.status_code < 500, (request, response.text)
            # An odd path may be no path of ours, an odd method none that it has.
            assert str(response.status_code) in described | {"404", "405"}, request
            if response.status_code >= 400:
                name = response.json()["type"].removeprefix("urn:autos:problem:")
                problem(response, response.status_code, name)
