"""Records and models of older schemas are read as they are, and a new intervention leaves all of them as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, toy_experiment
from tests.training.test_run import run_toy
from tiedlm.config.interventions import NEUTRAL, Intervention
from tiedlm.config.older_schemas import MOVED_IN_6
from tiedlm.config.run_config import RunConfig
from tiedlm.config.saved_model_config import read_saved_model_config
from tiedlm.errors import InputError
from tiedlm.explanation.head_view import PAIR
from tiedlm.model.saved_model import load_model
from tiedlm.record.record_file import load_record, save_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import SCHEMA_VERSION, RunRecord

COMMITTED = [path for path in sorted((REPOSITORY / "results").rglob("*.json")) if RunId.of_record_file(path.name)]


def as_5(record: RunRecord) -> dict[str, Any]:
    """The record as schema 5 wrote it: keys of an intervention in their sections, the neutral ones of `config` too."""
    document = record.model_dump(exclude={"model_sha256", "design_sha256"})
    stated = NEUTRAL | document["config"].pop("intervention", {})
    overridden = document["overrides"].pop("intervention", {})
    for section, keys in MOVED_IN_6.items():
        document["config"][section] |= {key: stated[key] for key in keys}
        of_arm = {key: overridden[key] for key in keys if key in overridden}
        if of_arm:
            document["overrides"].setdefault(section, {}).update(of_arm)
    return document | {"schema_version": 5}


def test_every_committed_record_is_read_as_it_was_written() -> None:
    """With its digest, which is over the file as it is; and nothing that it says is lost or added."""
    assert len(COMMITTED) > 200
    for path in COMMITTED:
        written = json.loads(path.read_text())
        record = load_record(path)
        assert (record.schema_version, record.sha256) == (SCHEMA_VERSION, written["sha256"]), path
        assert (as_5(record) if written["schema_version"] == 5 else record.model_dump()) == written, path


def test_a_record_of_an_intervention_goes_through_both_schemas(corpus_folder: Path, tmp_path: Path) -> None:
    arms = {"other": {"model": {"tie_word_embeddings": True}, "intervention": {"input_gradient_scale": 2.0}}}
    record = run_toy(toy_experiment(arms=arms), corpus_folder, tmp_path / "new", "other")
    assert load_record(tmp_path / "new/other-seed0.json") == record
    document = json.loads((tmp_path / "new/other-seed0.json").read_text())
    assert document["config"]["intervention"] == document["overrides"]["intervention"] == {"input_gradient_scale": 2.0}
    assert "intervention" not in run_toy(toy_experiment(), corpus_folder, tmp_path / "new").model_dump()["config"]
    older = as_5(record)
    assert older["overrides"] == {"model": {"tie_word_embeddings": True, "input_gradient_scale": 2.0}}
    (tmp_path / "old").mkdir()
    (tmp_path / "old/other-seed0.json").write_text(json.dumps(older))
    with pytest.raises(InputError, match="was changed after it was written"):  # its digest is that of the newer text
        load_record(tmp_path / "old/other-seed0.json")


def test_a_field_that_is_new_changes_no_older_record() -> None:
    """Neither its text nor, with that, its digest; a value that is not neutral is written."""

    class Later(Intervention):
        pull: float = 0.0

    class LaterConfig(RunConfig):
        intervention: Later = Later()

    for path in COMMITTED[:: len(COMMITTED) // 10]:
        config = load_record(path).config
        later = LaterConfig.model_validate_json(config.model_dump_json())
        assert later.model_dump_json() == config.model_dump_json()
    assert Later(pull=0.5).model_dump() == {"pull": 0.5}


def test_no_schema_is_read_that_is_not_known(corpus_folder: Path, tmp_path: Path) -> None:
    path = save_record(run_toy(toy_experiment(), corpus_folder, tmp_path / "out"), tmp_path / "out")
    for version in (4, SCHEMA_VERSION + 1, "5", None, 5.0):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
        with pytest.raises(InputError, match=f"this tiedlm reads 5 to {SCHEMA_VERSION}"):
            load_record(path)


def test_a_model_of_an_older_schema_is_read() -> None:
    """The pair that comes with the package was saved by schema 5."""
    for arm in ("tied", "untied"):
        content = (PAIR / f"{arm}.safetensors").read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["tiedlm"]
        assert json.loads(header)["model"]["output_rows"] == "own"
        assert read_saved_model_config(header).intervention == Intervention()
        assert load_model(PAIR / f"{arm}.safetensors").is_tied == (arm == "tied")
