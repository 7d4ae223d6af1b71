"""A configuration of an older schema → as it is written now; what records and saved models have in common."""

from __future__ import annotations

from typing import Any

from tiedlm.config.interventions import NEUTRAL

MOVED_IN_6 = {
    "model": ("output_rows", "output_matrix_start", "input_gradient_scale"),
    "train": ("output_matrix_rate_scale", "tied_fraction"),
}
"""Keys of an intervention, by the section that they stood in."""


def from_5(sections: dict[str, Any], keep_neutral: bool = False) -> dict[str, Any]:
    """Interventions had their keys among those of the model and of the recipe, neutral values stated.

    Of what an arm overrides, `keep_neutral` keeps what was stated. What is no section stays, to be refused by whoever
    reads it.
    """
    moved: dict[str, Any] = {}
    kept = dict(sections)
    for section, keys in MOVED_IN_6.items():
        values = kept.get(section)
        if isinstance(values, dict):
            moved |= {key: values[key] for key in keys if key in values}
            kept[section] = {key: value for key, value in values.items() if key not in keys}
            if keep_neutral and not kept[section]:
                del kept[section]
    found = {key: value for key, value in moved.items() if keep_neutral or value != NEUTRAL[key]}
    return kept | ({"intervention": found} if found else {})


def in_present_places(decision: Any) -> Any:
    """A tuning's or a scan's `values`, each key where it stands now: `train.tied_fraction` → `intervention.…`."""
    if not isinstance(decision, dict) or not isinstance(decision.get("values"), dict):
        return decision
    moved = {f"{section}.{key}": f"intervention.{key}" for section, keys in MOVED_IN_6.items() for key in keys}
    return decision | {"values": {moved.get(place, place): of_key for place, of_key in decision["values"].items()}}
