"""`stack.json`: what the embedded stack must remember over restarts, and what others look up.

It holds ports, generated secrets and the resulting environment, and only its owner may read it.
It belongs to the data beside it: without its secrets the database and the stored credentials
cannot be opened again.
"""

import json
import os
import secrets
import stat
from io import BufferedWriter
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, Field, ValidationError

from cli.stack.errors import StackError

FILE_NAME: Final = "stack.json"


def admin_key() -> str:
    """A new key in the form the API knows."""
    return f"autos_{secrets.token_urlsafe(32)}"


class Secrets(BaseModel):
    """The secrets that the stack makes up on its first start."""

    admin_key: str = Field(default_factory=admin_key)
    secret_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    postgres_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    s3_access_key_id: str = Field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_access_key: str = Field(default_factory=lambda: secrets.token_urlsafe(30))


class StackState(BaseModel):
    """The content of `stack.json`."""

    ports: dict[str, int] = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=Secrets)
    environment: dict[str, str] = Field(default_factory=dict)
    """The settings of the latest start (`AUTOS_*`, `TEMPORAL_*`)."""
    addresses: dict[str, str] = Field(default_factory=dict)
    """What a person opens in a browser, or a tool asks, by name."""

    @classmethod
    def load(cls, data_dir: Path) -> Self | None:
        """Read the state, or None where the stack never started.

        Raises:
            StackError: the file is there but makes no sense.
        """
        path = data_dir / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as invalid:
            raise StackError(
                f"{path} is damaged. It holds the secrets of the data beside it: restore it from "
                "a copy, or move the whole data folder away to begin anew."
            ) from invalid

    def save(self, data_dir: Path) -> None:
        """Write the state in one step, so that a crash leaves the old file or the new one."""
        write_private(data_dir / FILE_NAME, self.model_dump_json(indent=2))


def write_private(path: Path, text: str) -> None:
    """Replace a file's content in one step; only its owner may read it."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open_private(draft) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def open_private(path: Path) -> BufferedWriter:
    """A file to append to; only its owner may read it."""
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def close_folder(folder: Path, mode: int = 0o700) -> None:
    """Let no other user look into a folder; one that is shared by design, as /tmp, stays."""
    if not folder.stat().st_mode & stat.S_ISVTX:
        folder.chmod(mode)


def read_json(path: Path) -> object:
    """The content of a JSON file, or None where there is none that can be read as JSON."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
