"""The options that every verb which asks the API takes."""

from pathlib import Path
from typing import Annotated, Final

import typer

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="AUTOS_DATA_DIR", help="The embedded stack's folder.")
]
Url = Annotated[str | None, typer.Option("--url", help="Address of the API [AUTOS_API_URL].")]
Key = Annotated[str | None, typer.Option("--key", help="Key for the API [AUTOS_API_KEY].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DEFAULT_DATA_DIR: Final = Path(".autos")
