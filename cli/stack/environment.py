"""What each part finds in its environment: its own settings and secrets, and no others.

Settings that are no secret go to every part of Autos. A secret goes to the parts that `SECRETS`
names. Of the environment of the person at the terminal the parts get what programs need to run
(`PATH` and the like), so that no other tokens end up in them.
"""

from collections.abc import Mapping
from typing import Final

_DATABASE: Final = frozenset({"AUTOS_DATABASE_URL"})
_OBJECTS: Final = frozenset(
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
_SEALED: Final = frozenset({"AUTOS_SECRET_KEY"})
# The API stores a new credential beside the fingerprint of the one in the settings.
_SOURCE: Final = frozenset({"AUTOS_PDPJ_TOKEN", "AUTOS_PDPJ_REFRESH_TOKEN"})

SECRETS: Final[Mapping[str, frozenset[str]]] = {
    "postgres": frozenset(),
    "temporal": frozenset(),
    "s3": frozenset({"RCLONE_AUTH_KEY"}),
    "sandbox": frozenset(),
    "migrations": _DATABASE,
    "worker": _DATABASE | _OBJECTS | _TEMPORAL | _SEALED | _SOURCE,
    "api": _DATABASE | _OBJECTS | _TEMPORAL | _SEALED | _SOURCE | {"AUTOS_ADMIN_KEY"},
}
"""The secrets that each part gets; a test compares it with the running parts."""

ALL_SECRETS: Final = frozenset[str]().union(*SECRETS.values(), {"AUTOS_API_KEY"})
_SETTINGS: Final = ("AUTOS_", "TEMPORAL_")
_MACHINE: Final = frozenset(
    "PATH HOME LANG LC_ALL TZ TMPDIR PYTHONPATH SSL_CERT_FILE SSL_CERT_DIR AWS_REGION "
    "AWS_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE".split()
)
_FOREIGN_PROGRAM: Final = frozenset("PATH HOME LANG TZ".split())


def machine(environment: Mapping[str, str]) -> dict[str, str]:
    """For programs that are not ours: nothing else in our environment may change what they do."""
    return {name: value for name, value in environment.items() if name in _FOREIGN_PROGRAM}


def settings_of(
    part: str, person: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a part of Autos.

    Args:
        part: a key of `SECRETS`.
        person: the environment of the terminal.
        settings: the stack's `AUTOS_*` and `TEMPORAL_*` variables.
    """
    needed = SECRETS[part]
    found = {
        name: value for name, value in person.items() if name in _MACHINE or name in needed
    } | {name: value for name, value in settings.items() if name.startswith(_SETTINGS)}
    return {
        name: value for name, value in found.items() if name in needed or name not in ALL_SECRETS
    }
