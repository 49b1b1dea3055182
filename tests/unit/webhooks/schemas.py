"""Writes the published schemas: `python -m tests.unit.webhooks.schemas`."""

import json

from pydantic import TypeAdapter

from autos.webhooks.events import FullEvent, TestEvent, ThinEvent
from tests.unit.webhooks.test_events import SCHEMAS


def main() -> None:
    """Write one schema file per payload."""
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    for name, event in (("full", FullEvent), ("thin", ThinEvent), ("test", TestEvent)):
        schema = TypeAdapter(event).json_schema(mode="serialization")
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (SCHEMAS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
