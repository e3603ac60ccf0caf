"""What the dashboard of a database answers."""

import json
from typing import Any
from urllib.request import urlopen


def fetched(address: str) -> bytes:
    with urlopen(address) as answer:
        content: bytes = answer.read()
        return content


def study_page(address: str, number: int = 1) -> dict[str, Any]:
    """What the dashboard's pages are told of a study."""
    page: dict[str, Any] = json.loads(fetched(f"{address}/api/studies/{number}?after=0"))
    return page


def attributes(trial: dict[str, Any]) -> dict[str, str]:
    """A trial's attributes in the order in which they are shown."""
    return {entry["key"]: entry["value"] for entry in trial["user_attrs"]}
