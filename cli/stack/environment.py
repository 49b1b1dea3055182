"""The settings of the embedded stack, and which of them each part gets.

Every part of Autos gets the settings that are not secret. A part gets only the secrets that
`SECRETS` lists for it. From the terminal's environment the parts get only what programs need to run
(`PATH` and similar variables), so other tokens of the user do not reach them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.stack.ports import HOST
from cli.stack.postgres import DATABASE, ROLE
from cli.stack.state import Secrets

BUCKET: Final = "autos"
SANDBOX_TOKEN: Final = "sandbox-demo-token"
_SANDBOX_TOKEN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/token"

_DATABASE: Final = frozenset({"AUTOS_DATABASE_URL"})
_OBJECT_STORE: Final = frozenset(
    {
        *("AUTOS_S3_ACCESS_KEY_ID", "AUTOS_S3_SECRET_ACCESS_KEY"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    }
)
_TEMPORAL: Final = frozenset(
    {
        *("TEMPORAL_API_KEY", "TEMPORAL_GRPC_META_AUTHORIZATION"),
        *("TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_CLIENT_KEY_PATH"),
    }
)
_ENCRYPTION: Final = frozenset({"AUTOS_SECRET_KEY"})
# The API needs the token because it stores a new credential with the fingerprint of this one.
_SOURCE: Final = frozenset({"AUTOS_PDPJ_TOKEN", "AUTOS_PDPJ_REFRESH_TOKEN"})

SECRETS: Final[Mapping[str, frozenset[str]]] = {
    "postgres": frozenset(),
    "temporal": frozenset(),
    "s3": frozenset({"RCLONE_AUTH_KEY"}),
    "sandbox": frozenset(),
    "migrations": _DATABASE,
    "worker": _DATABASE | _OBJECT_STORE | _TEMPORAL | _ENCRYPTION | _SOURCE,
    "api": _DATABASE | _OBJECT_STORE | _TEMPORAL | _ENCRYPTION | _SOURCE | {"AUTOS_ADMIN_KEY"},
}
"""The secrets that each part gets. A test compares this with the running processes."""

ALL_SECRETS: Final = frozenset[str]().union(*SECRETS.values(), {"AUTOS_API_KEY"})
_SETTINGS: Final = ("AUTOS_", "TEMPORAL_")
_SYSTEM: Final = frozenset(
    "PATH HOME LANG LC_ALL TZ TMPDIR PYTHONPATH SSL_CERT_FILE SSL_CERT_DIR AWS_REGION "
    "AWS_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE".split()
)
_THIRD_PARTY: Final = frozenset("PATH HOME LANG TZ".split())


@dataclass(frozen=True, slots=True)
class StackLayout:
    """The data folder, ports and secrets of one stack."""

    data_dir: Path
    ports: Mapping[str, int]
    secrets: Secrets

    def url(self, name: str) -> str:
        """The URL of a part that serves HTTP."""
        return f"http://{HOST}:{self.ports[name]}"

    def settings(self, parts: Collection[str]) -> dict[str, str]:
        """The `AUTOS_*` and `TEMPORAL_*` variables that a process needs to use these parts."""
        secrets = self.secrets
        settings = {
            "AUTOS_DATA_DIR": str(self.data_dir),
            "AUTOS_SECRET_KEY": secrets.secret_key,
            "AUTOS_ADMIN_KEY": secrets.admin_key,
            "AUTOS_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        if "postgres" in parts:
            settings["AUTOS_DATABASE_URL"] = (
                f"postgresql://{ROLE}:{secrets.postgres_password}@{HOST}:{self.ports['postgres']}"
                f"/{DATABASE}"
            )
        if "temporal" in parts:
            settings["TEMPORAL_ADDRESS"] = f"{HOST}:{self.ports['temporal']}"
        if "s3" in parts:
            settings |= {
                "AUTOS_S3_ENDPOINT": self.url("s3"),
                "AUTOS_S3_BUCKET": BUCKET,
                "AUTOS_S3_ACCESS_KEY_ID": secrets.s3_access_key_id,
                "AUTOS_S3_SECRET_ACCESS_KEY": secrets.s3_secret_access_key,
                "AUTOS_S3_REGION": "us-east-1",
            }
        if "sandbox" in parts:
            settings |= {
                "AUTOS_PDPJ_BASE_URL": self.url("sandbox"),
                "AUTOS_PDPJ_TOKEN": SANDBOX_TOKEN,
                "AUTOS_PDPJ_TOKEN_URL": self.url("sandbox") + _SANDBOX_TOKEN_PATH,
                # Unlike the real source, the sandbox needs no long pauses between attempts.
                "AUTOS_RETRY_UNIT_SECONDS": "0.1",
            }
        if "api" in parts:
            settings |= {"AUTOS_API_HOST": HOST, "AUTOS_API_URL": self.url("api")}
        return settings


def third_party_environment(terminal: Mapping[str, str]) -> dict[str, str]:
    """The environment of a third-party program, without variables that could configure it."""
    return {name: value for name, value in terminal.items() if name in _THIRD_PARTY}


def part_environment(
    part: str, terminal: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a part of Autos.

    Args:
        part: a key of `SECRETS`.
        terminal: the environment of the terminal.
        settings: the stack's `AUTOS_*` and `TEMPORAL_*` variables.
    """
    allowed = SECRETS[part]
    environment = {
        name: value for name, value in terminal.items() if name in _SYSTEM or name in allowed
    } | {name: value for name, value in settings.items() if name.startswith(_SETTINGS)}
    return {
        name: value
        for name, value in environment.items()
        if name in allowed or name not in ALL_SECRETS
    }
