"""The types of what tiedlm prints and writes as JSON → tiedlm/schemas/NAME.json, in JSON Schema 2020-12.

python docs/make_schemas.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from tiedlm.api.explainable_runs import ExplainableRuns
from tiedlm.api.list_folders import Listing
from tiedlm.api.run_states import FolderState
from tiedlm.cli.config_tables import EXPERIMENT_SCHEMA_VERSION, ShippedExperiments
from tiedlm.cli.doctor import Examination
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan, ScanDesign
from tiedlm.comparison.similarity import Similarity
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.experiment import Experiment
from tiedlm.config.tune import Tune
from tiedlm.counting.counted_model import CountedModel, CountedModels
from tiedlm.exchange.model_pair import PairEvaluation
from tiedlm.exchange.text_evaluation import Evaluation
from tiedlm.execution.plan import Plan
from tiedlm.execution.planned_runs import PlannedRuns
from tiedlm.execution.step_log import CurveLine, StepLine
from tiedlm.explanation.explanation import Explanations
from tiedlm.probing.folder_pairs import FolderPairs
from tiedlm.probing.pair_scores import PairScores
from tiedlm.probing.word_similarity import SimilarityScores
from tiedlm.record.divergence import Divergence
from tiedlm.record.run_record import RunRecord

FOLDER = Path(__file__).parents[1] / "tiedlm" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, Any] = {
    "record": RunRecord,
    "comparison": Comparison,
    "scan": Scan,
    "dry-run": Plan,
    "plan": PlannedRuns,
    "diverged": Divergence,
    "similarity": Similarity,
    "step": StepLine,
    "curve-point": CurveLine,
    "ls": Listing,
    "status": FolderState,
    "config": Experiment,
    "config-list": ShippedExperiments,
    "doctor": Examination,
    "evaluate": Evaluation,
    "evaluate-two": PairEvaluation,
    "evaluate-pairs": PairScores,
    "evaluate-pairs-folder": FolderPairs,
    "evaluate-similarity": SimilarityScores,
    "explain": Explanations,
    "explain-folder": ExplainableRuns,
    "count-params": CountedModel,
    "count-params-several": CountedModels,
}
SEALED = {"two-stage": TwoStage, "tune": Tune, "scan-design": ScanDesign, "contrasts": Contrasts}
"""What was decided before runs, with a digest that their records hold too; these files state no version."""


class Written(GenerateJsonSchema):
    """Of values as they are written: a dataclass has all of its fields and no other."""

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        """Of a model that leaves some of its fields unwritten: that of its fields."""
        return None if schema["type"] == "function-wrap" else super().ser_schema(schema)

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        """With all fields that a default would make optional."""
        found = super().dataclass_schema(schema)
        return found | {"required": list(found["properties"]), "additionalProperties": False}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """None, since it would only be the field's name again."""
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each document, by the name of its file."""
    found = {name: _of_type(kind) for name, kind in DOCUMENTS.items()}
    keys = found["config"]["properties"]
    found["config"]["properties"] = {"schema_version": {"const": EXPERIMENT_SCHEMA_VERSION}, **keys}
    for schema in found.values():
        schema["required"] = list(dict.fromkeys(["schema_version", *schema["required"]]))
    for name, kind in SEALED.items():
        found[name] = _of_type(kind)
        found[name]["properties"] |= {"earlier": {"$ref": "#"}, "sha256": {"type": "string"}}
    return {name: {"$schema": DIALECT, **schema} for name, schema in found.items()}


def _of_type(kind: Any) -> dict[str, Any]:
    if not hasattr(kind, "model_fields"):  # of a dataclass of the standard library
        kind.__pydantic_config__ = ConfigDict(use_attribute_docstrings=True)
    schema = TypeAdapter(kind).json_schema(mode="serialization", schema_generator=Written)
    if "$ref" in schema:  # of a type that holds itself
        schema = schema["$defs"][kind.__name__] | {"$defs": schema["$defs"]}
    return schema


def text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(text(schema), encoding="utf-8")
