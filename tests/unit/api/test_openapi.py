"""The OpenAPI document: complete, with examples, and consistent with the responses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import problems, schemas
from api.app import create_app
from api.problems import MEDIA_TYPE, ProblemType
from api.status.schemas import Status
from api.webhooks import routes, secret, testing
from autos.settings import Settings


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def operations(description: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operation)
        for path, methods in description["paths"].items()
        for operation in methods.values()
    ]


def test_every_operation_has_a_unique_id_and_a_description(
    description: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, operation in operations(description)]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, operation in operations(description))


def test_every_error_is_a_problem_with_an_example(description: dict[str, Any]) -> None:
    for path, operation in operations(description):
        for status, response in operation["responses"].items():
            if status[0] in "45" and not path.startswith("/health"):
                content = response["content"]
                assert list(content) == [MEDIA_TYPE], (path, status)
                assert content[MEDIA_TYPE]["examples"], (path, status)


def test_every_response_schema_has_a_complete_example(description: dict[str, Any]) -> None:
    known = description["components"]["schemas"]
    shown = set()
    for path, operation in operations(description):
        if "/webhooks/" in path or "/credentials/" in path:
            continue
        for status, response in operation["responses"].items():
            answer = response.get("content", {}).get("application/json", {}).get("schema", {})
            if status[0] != "2" or "$ref" not in answer:
                continue
            name = answer["$ref"].rpartition("/")[2]
            items = known[name]["properties"].get("items", {}).get("items", {})
            name = items.get("$ref", name).rpartition("/")[2]
            assert known[name].get("examples"), (path, status, name)
            shown.add(name)
    assert {"Status", "Process", "JobStarted", "Document", "Job"} <= shown


def _shown() -> list[type[schemas.Answer]]:
    def below(model: type[schemas.Answer]) -> Iterator[type[schemas.Answer]]:
        yield model
        for child in model.__subclasses__():
            yield from below(child)

    return [model for model in below(schemas.Answer) if "json_schema_extra" in model.model_config]


@pytest.mark.parametrize("model", _shown())
def test_example_is_valid_and_has_every_member(model: type[schemas.Answer]) -> None:
    (example,) = model.model_json_schema()["examples"]
    assert set(example) == set(model.model_fields)
    read = model.model_validate(example)
    if isinstance(read, Status):
        parts = ("completed", "failed", "pending", "processing")
        assert sum(example[f"{part}_documents"] for part in parts) == read.total_documents


def test_routes_with_a_key_declare_security(description: dict[str, Any]) -> None:
    # The test receiver accepts requests by their signature.
    signed = "/api/v1/webhooks/webhook-test-receiver/{api_key_id}"
    for path, operation in operations(description):
        if path == signed:
            assert "security" not in operation
            continue
        assert ("401" in operation["responses"]) == path.startswith("/api/"), path
        assert ("security" in operation) == path.startswith("/api/"), path


def test_problem_types_are_stable_and_unique() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, ProblemType)]
    assert len({kind.type for kind in kinds}) == len(kinds) > 20
    assert problems.INVALID_CASE_NUMBER.type == "urn:autos:problem:invalid-case-number"


def test_documentation_lists_every_problem() -> None:
    """(S38) docs/reference/api.md and the code have the same problems and statuses."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text()
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (\d{3}) \|", text, re.MULTILINE)
    kinds = {
        kind.name: kind.status
        for module in (problems, routes, secret, testing)
        for kind in vars(module).values()
        if isinstance(kind, ProblemType)
    }
    assert {name: int(status) for name, status in listed} == kinds
