"""docker-compose.yml: its names exist, it has no secrets, and the order of starts is valid.

Static checks only. The same entry points run with the same variables in
tests/integration/test_entry_points.py.
"""

import ast
import re
import subprocess
from typing import Any, Final

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from typer.main import get_command

import api.__main__
import worker.main
from api.app import create_app
from autos.contracts import temporal_names
from autos.settings import Settings
from cli.main import app as command_line
from tests.unit.deploy import compose
from tests.unit.deploy.test_settings import SETTINGS

SERVICES: Final[dict[str, dict[str, Any]]] = compose.load()["services"]
OURS: Final = [name for name, service in SERVICES.items() if "build" in service]
CHECKS_IN_IMAGES: Final = {
    "postgres": {"pg_isready"},
    "rclone/rclone": {"nc"},
    "temporalio/server": {"nc"},
}
"""Programs that third-party images contain."""


def test_all_services_are_defined() -> None:
    assert {"postgres", "temporal", "temporal-ui", "s3", "migrate", "api", "worker"} <= set(
        SERVICES
    )
    assert SERVICES["worker"]["deploy"]["replicas"] >= 2
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]


@pytest.mark.parametrize("name", OURS)
def test_service_command_is_an_entry_point(name: str) -> None:
    program, verb, *_ = SERVICES[name]["command"]
    assert program == "autos"
    assert verb in get_command(command_line).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting(name: str) -> None:
    given = {key for key in compose.environment(name) if key.startswith("AUTOS_")}
    assert given <= set(SETTINGS)


def test_api_and_worker_have_their_required_settings() -> None:
    for name, required in ("api", api.__main__.REQUIRED), ("worker", worker.main.REQUIRED):
        wanted = {f"AUTOS_{setting.upper()}" for setting in required}
        assert wanted | {"TEMPORAL_ADDRESS"} <= set(compose.environment(name))
    assert "AUTOS_DATABASE_URL" in compose.environment("migrate")


def test_defaults_match_the_settings() -> None:
    shape = {"AUTOS_S3_ENDPOINT", "AUTOS_S3_PUBLIC_ENDPOINT", "AUTOS_API_URL"}
    for name in OURS:
        for key, value in compose.environment(name).items():
            found = compose.VARIABLE.fullmatch(value)
            if found and found["how"] == ":-" and key not in shape:
                assert found["text"] == SETTINGS[key], key


def test_every_job_and_source_setting_can_be_changed() -> None:
    """A setting that cannot be changed in docker-compose.yml has no effect there."""
    given = {key for name in OURS for key in compose.environment(name)}
    # The user agent and the client id have no default that could be repeated here.
    own = {"AUTOS_PDPJ_USER_AGENT", "AUTOS_PDPJ_CLIENT_ID"}
    knobs = [key for key in SETTINGS if re.match("AUTOS_(PDPJ|SOURCE|BATCH|PARALLEL|RETRY)_", key)]
    assert set(knobs) - own <= given


def test_empty_endpoint_means_aws() -> None:
    for name in ("api", "worker"):
        for key in ("AUTOS_S3_ENDPOINT", "AUTOS_S3_PUBLIC_ENDPOINT"):
            found = compose.VARIABLE.fullmatch(compose.environment(name)[key])
            assert found is not None
            # `:-` would also replace an empty value by the local store.
            assert found["how"] == "-"


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_have_no_value_or_default(name: str) -> None:
    for key, value in compose.environment(name).items():
        if re.search(r"PASSWORD|PWD|SECRET|KEY|TOKEN$|DATABASE_URL", key):
            used = list(compose.VARIABLE.finditer(value))
            assert used, key
            assert all(one["how"] == ":?" or not one["text"] for one in used), key


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_by_tag(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"\d", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_can_become_ready(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        other = SERVICES[needed]
        if how["condition"] == "service_completed_successfully":
            assert other["restart"] == "no"
        else:
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in other


@pytest.mark.parametrize("name", OURS)
def test_health_check_of_a_service_requests_an_existing_route(name: str) -> None:
    check = SERVICES[name].get("healthcheck", {}).get("test")
    if check is None:
        return
    kind, python, option, code = check
    assert (kind, python, option) == ("CMD", "python", "-c")
    ast.parse(code)
    port = re.search(r"127\.0\.0\.1:(\d+)/", code)
    assert port is not None
    environment = compose.environment(name)
    command = SERVICES[name]["command"]
    assert port[1] in {environment.get("AUTOS_METRICS_PORT"), *command}


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_health_check_of_a_third_party_image_uses_its_programs(name: str) -> None:
    check = SERVICES[name].get("healthcheck")
    if check is not None:
        image = SERVICES[name]["image"].partition(":")[0]
        assert check["test"][0] == "CMD"
        assert check["test"][1] in CHECKS_IN_IMAGES[image]


def test_volumes_and_configs_are_declared() -> None:
    content = compose.load()
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in content["volumes"]
        for config in service.get("configs", ()):
            assert config["source"] in content["configs"]


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["temporal-schema", "temporal-setup"])
def test_scripts_are_valid_shell(name: str) -> None:
    subprocess.run(["sh", "-n"], input=compose.script(name), text=True, check=True, timeout=10)
    assert SERVICES[name]["entrypoint"][0] == "/bin/sh"


def test_all_search_attributes_are_registered_one_at_a_time() -> None:
    found = re.findall(
        r"^temporal operator search-attribute create --name (\w+) --type (\w+)$",
        compose.script("temporal-setup"),
        re.MULTILINE,
    )
    wanted = {
        key.name: _type_name(key.indexed_value_type) for key in temporal_names.SEARCH_ATTRIBUTES
    }
    assert dict(found) == wanted


def test_health_check_of_the_image_requests_an_existing_route() -> None:
    routes = create_app(Settings()).openapi()["paths"]
    assert "/health/live" in routes
    assert "'/health/live'" in (compose.ROOT / "Dockerfile").read_text()


def _type_name(kind: int) -> str:
    return IndexedValueType.Name(kind).removeprefix("INDEXED_VALUE_TYPE_").title()  # type: ignore[arg-type]


def test_api_and_worker_have_the_same_credential() -> None:
    """(S34) A stored credential is valid only with the same token in the settings."""
    given = [compose.environment(name) for name in ("api", "worker")]
    for name in ("AUTOS_PDPJ_BASE_URL", "AUTOS_PDPJ_TOKEN", "AUTOS_PDPJ_REFRESH_TOKEN"):
        assert given[0][name] == given[1][name]
