"""Two models of any origin on one text: the difference is what each alone would give, and never more than that."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, models

from tests.cli.test_bad_input import run_tiedlm
from tests.conftest import toy_experiment
from tests.exchange.plain_loop import plain_score
from tests.exchange.test_evaluate import saved_model, text
from tests.exchange.test_export import trained
from tests.training.test_run import run_toy
from tiedlm import InputError, evaluate, evaluate_pair, export
from tiedlm.cli.pair_table import render_pair
from tiedlm.comparison.paired_statistics import paired_bootstrap, text_bootstrap
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.sources.pieces import Piece
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.model_pair import common_stretches
from tiedlm.exchange.scored_model import EncodedText, ScoredModel
from tiedlm.exchange.split_text import STRETCH_BYTES, _stretches, read_split
from tiedlm.exchange.text_evaluation import evaluate_text
from tiedlm.masked_batch import MaskedBatch

transformers = pytest.importorskip("transformers")
__all__ = ["text"]  # a fixture


@pytest.mark.usefixtures("corpus_folder")
def test_a_model_against_itself_is_exactly_nothing(tmp_path: Path) -> None:
    path = trained(tmp_path)
    pair = evaluate_pair(path, path)
    assert (pair.unit, pair.unlike) == ("nats a token", [])
    for split in pair.splits:
        assert (split.difference, split.ci95) == (0.0, (0.0, 0.0))
        assert split.a > 0.0
        assert split.bands is not None
        assert {band.difference for band in split.bands if band.num_tokens} == {0.0}
        assert f"  {split.split}: B − A +0.0000 [+0.0000, +0.0000] nats a token" in repr(pair)
    assert len(repr(pair)) < 500
    assert repr(pair.a) == f"{path} on {pair.a.corpus}: masked-LM perplexity " + ", ".join(
        f"{one.split} {one.masked_lm_perplexity:.4g}" for one in pair.a.splits
    )


@pytest.mark.usefixtures("corpus_folder")
def test_a_run_and_its_export_read_the_same_tokens_and_its_copy_in_bf16_is_near(tmp_path: Path) -> None:
    path = trained(tmp_path)
    exported = export(path, tmp_path / "exported")
    copy = shutil.copytree(exported, tmp_path / "bf16")
    model = transformers.AutoModelForMaskedLM.from_pretrained(exported)
    model.to(torch.bfloat16).save_pretrained(copy)
    same = evaluate_pair(path, exported, splits=["valid"])
    near = evaluate_pair(path, copy, splits=["valid"])
    assert same.unlike == near.unlike == []
    assert abs(same.splits[0].difference) < 1e-6
    assert 1e-6 < abs(near.splits[0].difference) < 0.01
    assert near.splits[0].ci95[0] < near.splits[0].difference < near.splits[0].ci95[1]


@pytest.mark.usefixtures("corpus_folder")
def test_two_seeds_differ_as_their_records_do(tmp_path: Path) -> None:
    first = trained(tmp_path)
    records = [run_toy(toy_experiment(), tmp_path / "corpus", first.parent, "tied", seed) for seed in (1, 2)]
    pair = evaluate_pair(*(first.with_name(record.run.model_file) for record in records))
    assert [split.split for split in pair.splits] == ["valid", "test"]
    for split in pair.splits:
        a, b = (record.metrics[split.split] for record in records)
        assert split.difference == pytest.approx(b.masked_lm_loss_nats - a.masked_lm_loss_nats, abs=1e-9)
        assert split.difference != 0.0
        assert (split.size, split.share) == (a.num_tokens, 1.0)
        found = paired_bootstrap(a, b).ci95
        assert split.ci95 == pytest.approx(found, abs=1e-9)
        assert found[0] < split.difference < found[1]
        for band, mine, theirs in zip(split.bands or [], a.bands or [], b.bands or [], strict=True):
            assert band.num_tokens == mine.num_tokens
            if band.difference is not None:
                nats = theirs.total_nll_nats - mine.total_nll_nats
                assert band.difference == pytest.approx(nats / mine.num_tokens, abs=1e-9)


def other_words(folder: Path) -> Path:
    """A model whose tokenizer knows other pieces of the same words."""
    model, _ = saved_model("Bert", folder, tie=False)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "like", "##s", "bone", "the", "t", "##o", "##day"]
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    renumbered = {token: number for number, token in enumerate(tokens)}
    document["model"]["vocab"] = renumbered
    for added in document["added_tokens"]:
        added["id"] = renumbered[added["content"]]
    special = document["post_processor"]
    special["sep"], special["cls"] = ["[SEP]", renumbered["[SEP]"]], ["[CLS]", renumbered["[CLS]"]]
    path.write_text(json.dumps(document))
    model.config.pad_token_id = 0
    model.config.save_pretrained(folder)
    return folder


def plain_bits(folder: Path, lines: list[str], content: int) -> list[float]:
    """Of each line, by a model of transformers in blocks of so many tokens of the text."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    plain = plain_score(model, tokenizer, lines, content, [tokenizer.cls_token_id], [tokenizer.sep_token_id])
    bits, start = [], 0
    for line in lines:
        end = start + len(tokenizer(line, add_special_tokens=False)["input_ids"])
        bits.append(math.fsum(plain.nll_nats[start:end]) / math.log(2))
        start = end
    assert start == len(plain.nll_nats)
    return bits


def longer_text(text: Path) -> list[str]:
    """Lines enough for some stretches, and of their valid split the lines, some of them empty."""
    words = [line for split in ("train", "valid", "test") for line in (text / f"{split}.txt").read_text().splitlines()]
    (text / "valid.txt").write_text("\n".join(words * 2) + "\n")
    return words * 2


def test_two_vocabularies_are_held_against_each_other_in_bits_a_byte(text: Path, tmp_path: Path) -> None:
    lines = longer_text(text)
    saved_model("Bert", tmp_path / "a", tie=True)
    other_words(tmp_path / "b")
    pair = evaluate_pair(tmp_path / "a", tmp_path / "b", str(text), ["valid"], seq_length=12)
    assert (pair.unit, pair.unlike) == ("bits a byte", ["they cut the text into different tokens"])
    (split,) = pair.splits
    a, b = (plain_bits(tmp_path / name, lines, 10) for name in "ab")
    num_bytes = [len(line) for line in lines]
    assert split.a == pytest.approx(sum(a) / sum(num_bytes), rel=1e-5)
    assert split.b == pytest.approx(sum(b) / sum(num_bytes), rel=1e-5)
    assert split.difference == pytest.approx((sum(b) - sum(a)) / sum(num_bytes), rel=1e-4)
    assert (split.size, split.share, split.bands) == (sum(num_bytes), 1.0, None)
    stretches: dict[int, list[int]] = {}
    begun = 0
    for number, line in enumerate(lines):
        stretches.setdefault(begun // STRETCH_BYTES, []).append(number)
        begun += len(line)
    assert split.num_parts == len(stretches) > 5
    of_stretches = [sum(b[line] - a[line] for line in of_one) for of_one in stretches.values()]
    found = text_bootstrap(of_stretches, [sum(num_bytes[line] for line in of_one) for of_one in stretches.values()])
    assert split.ci95 == pytest.approx(found.ci95, rel=1e-3)
    assert split.ci95[1] - split.ci95[0] > 0.001


@pytest.mark.usefixtures("corpus_folder")
def test_two_runs_of_other_tokenizers_differ_as_their_bits_a_byte_do(tmp_path: Path) -> None:
    """The ends of lines count, since both predict them; of a run and a stranger they count for neither."""
    words = trained(tmp_path)
    words.parent.rename(tmp_path / "words")
    pieces = trained(tmp_path, **{"corpus.tokenizer": "bpe:270"})
    words = tmp_path / "words" / words.name
    pair = evaluate_pair(words, pieces, splits=["valid"])
    a, b = (evaluate(path, splits=["valid"]).splits[0].bits_per_byte for path in (words, pieces))
    assert pair.unit == "bits a byte"
    assert pair.splits[0].difference == pytest.approx(b - a, abs=1e-9)
    assert pair.splits[0].size == (tmp_path / "corpus/valid.txt").stat().st_size
    saved_model("Bert", tmp_path / "stranger", tie=True)
    mixed = evaluate_pair(words, tmp_path / "stranger", splits=["valid"])
    assert "they read blocks of 16 and of 38 tokens" in mixed.unlike
    assert mixed.splits[0].size == pair.splits[0].size - 40  # lines
    assert mixed.splits[0].b == pytest.approx(mixed.b.splits[0].bits_per_byte, abs=1e-9)
    assert mixed.splits[0].a < mixed.a.splits[0].bits_per_byte * pair.splits[0].size / mixed.splits[0].size
    assert "A alone predicts the ends of lines, so they are left out of both." in mixed.notes


class OneNat(torch.nn.Module):
    """Loses one nat wherever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def score(self, batch: MaskedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """As of a model."""
        return torch.ones(batch.masked_lm_ids.shape), batch.masked_lm_ids > 0


@pytest.mark.parametrize("has_line_ends", [True, False])
@pytest.mark.parametrize("seq_length", [8, 300])
def test_the_chosen_stretches_are_scored_whole(has_line_ends: bool, seq_length: int, text: Path) -> None:
    lines = longer_text(text)

    def encode(batch: list[Piece]) -> EncodedText:
        of_pieces = [[*map(len, piece.text.split()), *([1] if has_line_ends else [])] for piece in batch]
        ids = np.array([3 + token for of_piece in of_pieces for token in of_piece], dtype=np.int32)
        return EncodedText(ids, np.array([len(of_piece) for of_piece in of_pieces]), 0)

    model = ScoredModel(
        "model", "kind", OneNat(), encode, 12, 12, has_line_ends, seq_length, 0, True, 1, notes=[]
    )  # fmt: skip
    corpus = load_corpus(str(text))
    reading = read_split(model, corpus, "valid").reading
    assert reading.stretch_num_bytes.sum() == sum(map(len, lines))
    assert reading.stretch_num_lines.sum() == len(lines)
    chosen = common_stretches(reading, reading, 400)
    assert chosen[0] == 0
    assert chosen[-1] == len(reading.stretch_num_bytes) - 1 or seq_length == 300
    assert len(chosen) < len(reading.stretch_num_bytes)
    asked = Asked(("valid",), 400, None, "cpu", "fp32", {"valid": chosen})
    scored = evaluate_text(model, corpus, asked, lambda *_: None)
    sums = scored.sums["valid"]
    of_stretches = sums.stretch_nll_nats + sums.line_end_nll_nats
    assert of_stretches[chosen].tolist() == reading.stretch_num_tokens[chosen].tolist()
    assert (sums.line_end_nll_nats[chosen] > 0).all() == has_line_ends
    assert of_stretches[chosen].sum() <= 400 * 1.5
    assert scored.evaluation.splits[0].num_tokens < len(read_split(model, corpus, "valid").ids)


def test_a_part_of_a_text_of_which_a_tokenizer_makes_nothing_is_refused(text: Path, tmp_path: Path) -> None:
    """BPE without an unknown token leaves out what it does not know."""
    saved_model("Bert", tmp_path / "one", tie=True)
    other = shutil.copytree(tmp_path / "one", tmp_path / "other")
    tokens = {"[MASK]": 0, "[PAD]": 1, "x": 2}
    bpe = Tokenizer(models.BPE(tokens, []))
    bpe.add_special_tokens(["[MASK]", "[PAD]"])
    names = {"mask_token": "[MASK]", "pad_token": "[PAD]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, **names).save_pretrained(other)
    with pytest.raises(InputError, match="its valid split has 0 tokens, fewer than one block"):
        evaluate_pair(tmp_path / "one", other, str(text), ["valid"], max_tokens=30, seq_length=12)


def test_lines_without_text_are_no_stretch_of_their_own() -> None:
    num_bytes = np.array([0, 600, 0, 500, 12, 100, 0, 1, 3000, 0, 1])
    assert _stretches(num_bytes).tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize("width", [80, 120])
def test_a_part_of_the_text_is_shown_with_what_the_number_is_not(width: int, text: Path, tmp_path: Path) -> None:
    longer_text(text)
    saved_model("Bert", tmp_path / "a", tie=True)
    other_words(tmp_path / "b")
    pair = evaluate_pair(tmp_path / "a", tmp_path / "b", str(text), ["valid"], seq_length=12, max_tokens=100)
    (split,) = pair.splits
    assert 0.0 < split.share < 0.5
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_pair(pair), highlight=False)
    shown = console.export_text()
    assert all(len(line) <= width for line in shown.splitlines())
    words = " ".join(shown.split())
    assert "over the choice of text alone, not over seeds" in words
    assert "has no verdict" in words
    assert "In bits a byte, since they cut the text into different tokens" in words
    assert f"{split.difference:+.4f} [{split.ci95[0]:+.4f}, {split.ci95[1]:+.4f}] {split.size:,}, " in words


@pytest.mark.usefixtures("corpus_folder")
def test_the_command_takes_two_models_and_no_third(tmp_path: Path) -> None:
    path = trained(tmp_path)
    run = f"runs/{path.name}"
    answer = run_tiedlm(tmp_path, f"evaluate {run} {run} --max-tokens 100 --split valid --json")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["schema_version"] == 1
    assert document["splits"][0]["ci95"] == [0.0, 0.0]
    assert document["splits"][0]["size"] == document["a"]["splits"][0]["num_tokens"] < 100
    shown = run_tiedlm(tmp_path, f"evaluate {run} {run} --split valid").stdout
    assert "+0.0000  [+0.0000, +0.0000]" in shown
    assert "below 0, B predicts this text better" in shown
    refused = run_tiedlm(tmp_path, f"evaluate {run} {run} {run}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "tiedlm: evaluate: 3 models are given; give one, or two to compare" in refused.stderr


def test_what_says_of_no_common_text_is_refused(corpus_folder: Path, text: Path, tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "stranger", tie=True)
    with pytest.raises(InputError, match="do not say on what they were trained; give --corpus"):
        evaluate_pair(tmp_path / "stranger", f"{tmp_path}/stranger/")
    first = trained(tmp_path)
    first.parent.rename(tmp_path / "first")
    corpus_folder.rename(tmp_path / "before")
    text.rename(corpus_folder)
    with pytest.raises(InputError, match=r"is not the text on which .*first.* was trained"):
        evaluate_pair(tmp_path / "first" / first.name, trained(tmp_path))
