"""A record of an older schema → as it is read now, by one function a schema; its file stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiedlm.config import older_schemas

Document = dict[str, Any]


def from_5(document: Document) -> Document:
    """Interventions had their keys among those of the model and of the recipe; models and designs had no digest."""
    changed: Document = {"schema_version": 6, "model_sha256": None, "design_sha256": None}
    for name, keep_neutral in (("config", False), ("overrides", True)):
        if isinstance(document.get(name), dict):
            changed[name] = older_schemas.from_5(document[name], keep_neutral)
    return document | changed


UPGRADES: dict[int, Callable[[Document], Document]] = {5: from_5}
"""By the schema that they read."""


def upgraded(document: Document) -> Document:
    """The same record by the present schema."""
    while document["schema_version"] in UPGRADES:
        document = UPGRADES[document["schema_version"]](document)
    return document
