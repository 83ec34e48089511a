"""`/docs`: the API for people, written from its OpenAPI description; no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

PAGE = Path(__file__).parent / "page"


def api_page(api: Mapping[str, Any], base: str) -> str:
    """The page.

    Args:
        api: The OpenAPI description.
        base: Address of the server, ending in a slash, for the example.
    """
    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("api.html.j2").render(api=api, base=base, values=_values)


def _values(schema: Mapping[str, Any]) -> str:
    """What a parameter takes, e.g. `AtoB, BtoA` or `string`."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return " or ".join(", ".join(map(str, kind["enum"])) if "enum" in kind else kind.get("type", "") for kind in kinds)
