"""Models out: what `transformers` reads from an exported folder is the model, the tokenizer and the tie of the run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch.testing import assert_close

from tests.cli.test_bad_input import run_tiedlm
from tests.conftest import toy_experiment
from tests.training.test_run import run_toy, tokenized
from tiedlm import InputError, evaluate, explain, export
from tiedlm.api.measure_similarity import measure_similarity
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import encode_pieces
from tiedlm.data.tokenizer import Vocabulary, given_vocabulary, read_vocabulary
from tiedlm.exchange.exported_folder import export_run
from tiedlm.exchange.fast_tokenizer import model_tokenizer, special_names
from tiedlm.exchange.trained_run import TrainedRun, open_run
from tiedlm.masked_batch import MASK
from tiedlm.model.saved_model import load_model, save_model
from tiedlm.record.record_file import load_record, save_record

transformers = pytest.importorskip("transformers")
TEXT = "the dog likes a bone today"
MASKED = "the dog likes a [MASK] today"


def trained(folder: Path, arm: str = "tied", **settings: Any) -> Path:
    """A toy run with its tokenizer, whose weights are drawn anew so that each of them matters."""
    permuted = {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "any:0"}}
    experiment = toy_experiment(arms={"permuted": permuted}, **{"train.num_steps": 1, **settings})
    corpus = folder / "corpus"
    run_toy(experiment, corpus, folder / "runs", arm)
    (folder / "runs" / TOKENIZER_FILE).write_text(tokenized(experiment, corpus).tokenizer_text())
    path = folder / "runs" / f"{arm}-seed0.safetensors"
    run = open_run(path)
    generator = torch.Generator().manual_seed(0)
    for parameter in run.model.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    saved = save_model(run.model, run.record.data.vocab_size, path)
    save_record(run.record.model_copy(update={"model_sha256": saved.sha256}).sealed(), path.parent)
    return path


@pytest.mark.usefixtures("corpus_folder")
def test_no_other_model_is_taken_for_the_records(tmp_path: Path) -> None:
    """Neither that of another seed nor one with a weight changed; a record without a digest cannot tell."""
    path = trained(tmp_path)
    other, content = path.with_name("tied-seed1.safetensors"), path.read_bytes()
    run_toy(toy_experiment(**{"train.num_steps": 1}), tmp_path / "corpus", path.parent, "tied", 1)
    record = load_record(path.with_suffix(".json"))
    for taken in (other.read_bytes(), content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(taken)
        with pytest.raises(InputError, match="is not the model of the record beside it, or was changed since"):
            open_run(path)
        with pytest.raises(InputError, match="is not the model of the record beside it, or was changed since"):
            measure_similarity(path.parent, lambda: np.arange(record.data.vocab_size)[::-1])
    save_record(record.model_copy(update={"model_sha256": None}).sealed(), path.parent)
    path.write_bytes(other.read_bytes())
    told = "older than the digests of models"
    assert told in (export(path, tmp_path / "exported") / "README.md").read_text(encoding="utf-8")
    assert told in explain(MASKED, path)[0].notes[0]
    assert told in evaluate(path, str(tmp_path / "corpus"), ["valid"]).notes[0]


@pytest.mark.usefixtures("corpus_folder")
@pytest.mark.parametrize(
    "command", ["evaluate RUN --corpus corpus", 'explain RUN "the dog [MASK]" --json', "export RUN exported"]
)
def test_the_commands_refuse_the_model_of_another_seed(command: str, tmp_path: Path) -> None:
    path = trained(tmp_path)
    run_toy(toy_experiment(**{"train.num_steps": 1}), tmp_path / "corpus", path.parent, "tied", 1)
    path.with_name("tied-seed1.safetensors").rename(path)
    answer = run_tiedlm(tmp_path, command.replace("RUN", f"runs/{path.name}"))
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert "is not the model of the record beside it, or was changed since" in answer.stderr
    assert not (tmp_path / "exported").exists()


@pytest.mark.usefixtures("corpus_folder")
def test_a_model_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = trained(tmp_path)
    model = open_run(path).model
    model.head.decoder.weight.data[3, 0] = math.inf
    save_model(model, model.head.decoder.out_features, path)
    with pytest.raises(InputError, match="has numbers that are not finite"):
        load_model(path)


@pytest.mark.parametrize("arm", ["tied", "untied", "permuted"])
@pytest.mark.parametrize("encoder", ["bert", "modernbert"])
@pytest.mark.usefixtures("corpus_folder")
def test_transformers_loads_what_is_exported_and_gives_our_logits(encoder: str, arm: str, tmp_path: Path) -> None:
    path = trained(tmp_path, arm, **{"model.encoder": encoder})
    folder = export(path, tmp_path / "exported")
    theirs, told = transformers.AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer([MASKED, "the cow"], padding=True, return_tensors="pt")
    run = open_run(path)
    ids = encoded["input_ids"]
    assert ids[0].tolist() == run_ids(run, MASKED)
    positions = torch.arange(ids.shape[1]).expand(len(ids), -1)
    with torch.no_grad():
        expected = run.model.eval()(ids, positions)
        found = theirs.eval()(**encoded).logits
    is_read = encoded["attention_mask"].bool()
    assert_close(found[is_read], expected[is_read], atol=1e-5, rtol=0)
    assert expected.std() > 0.2  # so that 1e-5 is small against what is compared
    is_tied = theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight
    assert is_tied == theirs.config.tie_word_embeddings == (arm == "tied")
    top = transformers.pipeline("fill-mask", str(folder))(MASKED)[0]
    place = ids[0].tolist().index(tokenizer.mask_token_id)
    assert top["token"] == expected[0, place].argmax().item()
    assert top["score"] == pytest.approx(expected[0, place].softmax(-1).max().item(), abs=1e-5)
    others = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", *others}


def run_ids(run: TrainedRun, text: str) -> list[int]:
    """Between two ends of a line, by the tokens of training; `[MASK]` by its place."""
    words = [run.vocabulary.tokenizer.token_to_id(word) for word in text.split()]
    return [run.vocabulary.eos_id, *words, run.vocabulary.eos_id]


@pytest.mark.parametrize("tokenizer", ["word", "bpe:270"])
def test_an_exported_model_has_the_perplexity_of_its_run(tokenizer: str, corpus_folder: Path, tmp_path: Path) -> None:
    path = trained(tmp_path, **{"corpus.tokenizer": tokenizer, "corpus.name": str(corpus_folder)})
    folder = export(path, tmp_path / "exported")
    ours, theirs = (evaluate(model, str(corpus_folder)) for model in (path, folder))
    for mine, other in zip(ours.splits, theirs.splits, strict=True):
        assert other.masked_lm_perplexity == pytest.approx(mine.masked_lm_perplexity, rel=1e-4)
        assert (other.num_tokens, other.masked_lm_accuracy) == (mine.num_tokens, mine.masked_lm_accuracy)
        assert other.unigram_perplexity == mine.unigram_perplexity
        assert [band.num_tokens for band in other.bands] == [band.num_tokens for band in mine.bands]
    assert (ours.is_tied, ours.num_parameters) == (theirs.is_tied, theirs.num_parameters)


def test_a_run_evaluated_again_has_the_figures_of_its_record(corpus_folder: Path, tmp_path: Path) -> None:
    experiment = toy_experiment(**{"corpus.name": str(corpus_folder)})
    record = run_toy(experiment, corpus_folder, tmp_path / "runs")
    (tmp_path / "runs" / TOKENIZER_FILE).write_text(tokenized(experiment, corpus_folder).tokenizer_text())
    found = evaluate(tmp_path / "runs/tied-seed0.json")
    for split in found.splits:
        metrics = record.metrics[split.split]
        assert split.masked_lm_loss_nats == pytest.approx(metrics.masked_lm_loss_nats, rel=1e-9)
        assert split.bits_per_byte == pytest.approx(metrics.bits_per_byte, rel=1e-9)
        assert split.unigram_perplexity == metrics.unigram_perplexity
        assert [band.num_tokens for band in split.bands] == [band.num_tokens for band in metrics.bands]


def wordpiece() -> Tokenizer:
    """As BERT's: special tokens in the vocabulary, in another order than ours."""
    words = [
        "[UNK]",
        "[CLS]",
        "the",
        "dog",
        "lik",
        "##es",
        "[SEP]",
        "a",
        "bone",
        "[MASK]",
        "today",
        "[PAD]",
        "t",
        "##o",
    ]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def unigram() -> Tokenizer:
    """As XLM-R's, its `<mask>` the last token."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "▁the", "▁dog", "▁a", "▁bone", "▁", "d", "o", "g", "?", "<mask>"]
    tokenizer = Tokenizer(models.Unigram([(token, -float(place)) for place, token in enumerate(tokens)], 3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def unigram_of_words() -> Tokenizer:
    """As T5's and XLM-R's older files have it: blanks are marked word by word."""
    tokenizer = unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return tokenizer


def unigram_with_added_mask() -> Tokenizer:
    """As DeBERTa v3's: a mask after the vocabulary, and markers that are no words."""
    pieces = [("[PAD]", 0.0), ("[UNK]", 0.0), ("▁the", -2.0), ("▁dog", -2.5), ("▁", -3.0), ("d", -4.0), ("?", -4.5)]
    tokenizer = Tokenizer(models.Unigram(pieces, 1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["[CLS]", "[SEP]", "[MASK]"])
    tokenizer.add_tokens(["<extra>"])
    return tokenizer


def bytes_of(special: list[str], adds_blank: bool) -> Tokenizer:
    vocab = {token: place for place, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("d", "o"), ("do", "g"), ("Ġ", "dog")]
    vocab |= {"".join(merge): len(vocab) + place for place, merge in enumerate(merges)}
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_blank)
    tokenizer.add_special_tokens(special)
    return tokenizer


def gpt2() -> Tokenizer:
    """Bytes, the end of a text the only special token, after the vocabulary."""
    return bytes_of(["<|endoftext|>"], adds_blank=False)


def roberta() -> Tokenizer:
    """Bytes, a blank before the text, its special tokens after the vocabulary."""
    return bytes_of(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], adds_blank=True)


def roberta_with_dropout() -> Tokenizer:
    """It would leave out merges at random, which no run does."""
    tokenizer = roberta()
    tokenizer.model.dropout = 0.5
    return tokenizer


def llama() -> Tokenizer:
    """BPE with bytes as a way out, blanks marked by the normalizer."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁thedog?", "th", "the", "▁the"]
    tokens += ["do", "dog", "▁dog"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("d", "o"), ("do", "g"), ("▁", "dog")]
    vocab = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "dog": 2, "a": 3, "bone": 4}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<mask>"])
    return tokenizer


KINDS = (
    *(wordpiece, unigram, unigram_of_words, unigram_with_added_mask),
    *(gpt2, roberta, roberta_with_dropout, words),
)


@pytest.mark.parametrize("build", KINDS)
def test_the_exported_tokenizer_of_another_model_has_the_ids_of_training(build: Callable[[], Tokenizer]) -> None:
    vocabulary = given_vocabulary(Path("tokenizer.json"), build().to_str())
    exported = model_tokenizer(vocabulary)
    exported.encode_special_tokens = True
    for text in (TEXT, "The DOG zzz", "dogdog  a [MASK bone", "the dog?", ""):
        ids = encode_pieces(vocabulary, [Piece(text, ends_line=True)]).tolist()
        assert exported.encode(text).ids == [vocabulary.eos_id, *ids]
    assert exported.get_vocab_size() == vocabulary.size
    assert sorted(exported.get_vocab().values()) == list(range(vocabulary.size))


@pytest.mark.parametrize("build", KINDS)
def test_what_stands_beside_a_mask_is_read_as_beside_a_word(build: Callable[[], Tokenizer]) -> None:
    vocabulary = given_vocabulary(Path("tokenizer.json"), build().to_str())
    exported, mask = model_tokenizer(vocabulary), special_names(vocabulary)[MASK]
    for before, following in (("the", "?"), ("the", " the"), ("the dog", "? dog"), ("", " dog")):
        ids = encode_pieces(vocabulary, [Piece(f"{before} dog{following}".strip(), ends_line=True)]).tolist()
        parts = [before, f"{before} dog".strip()]
        start, end = (len(encode_pieces(vocabulary, [Piece(part, False)])) if part else 0 for part in parts)
        masked = [vocabulary.eos_id, *ids[:start], 1, *ids[end:]]
        assert exported.encode(f"{before} {mask}{following}".strip()).ids == masked


@pytest.mark.parametrize("build", KINDS)
def test_a_folder_scores_as_its_run_whatever_its_tokenizer(
    build: Callable[[], Tokenizer], corpus_folder: Path, tmp_path: Path
) -> None:
    """Also with special tokens outside the model's own vocabulary, and text that names them."""
    for split in ("train", "valid", "test"):
        text = (corpus_folder / f"{split}.txt").read_text()
        (corpus_folder / f"{split}.txt").write_text(text + "the [MASK] dog? <pad> a <mask>\n" * 3)
    build().save(str(tmp_path / "given.json"))
    keys = {"corpus.tokenizer": f"file:{tmp_path / 'given.json'}", "corpus.name": str(corpus_folder)}
    path = trained(tmp_path, **keys)
    folder = export(path, tmp_path / "exported")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    ours, theirs = (evaluate(model, str(corpus_folder), ["valid"]).splits[0] for model in (path, folder))
    assert theirs.masked_lm_perplexity == pytest.approx(ours.masked_lm_perplexity, rel=1e-5)
    assert (theirs.num_tokens, theirs.num_unk) == (ours.num_tokens, ours.num_unk)


def test_a_tokenizer_that_would_read_a_text_otherwise_is_not_exported() -> None:
    """Its normalizer puts a blank before each part of a text, and one more before a blank."""
    vocabulary = given_vocabulary(Path("tokenizer.json"), llama().to_str())
    with pytest.raises(InputError, match=r"cannot be exported: beside a mask, '\?' would be read as other tokens"):
        model_tokenizer(vocabulary)


@pytest.mark.parametrize("spec", ["word", "bpe:270"])
def test_a_masked_word_leaves_its_neighbours_as_they_are(spec: str, corpus_folder: Path) -> None:
    experiment = toy_experiment(**{"corpus.tokenizer": spec})
    vocabulary: Vocabulary = read_vocabulary(tokenized(experiment, corpus_folder).tokenizer_text(), spec)
    exported = model_tokenizer(vocabulary)
    for first, second in (("the dog likes a", " today"), ("un", "able"), ("see the", "?"), ("", " dog")):
        between = " " if first in ("see the", "the dog likes a") else ""
        if spec == "word" and second in ("able", "?"):
            continue  # which are no words
        before, after = (encode_pieces(vocabulary, [Piece(text, False)]).tolist() for text in (first, second))
        if second in ("able", "?"):  # alone, it would have a blank before it
            after = after[1:]
        ids = exported.encode(f"{first}{between}[MASK]{second}").ids
        assert ids == [vocabulary.eos_id, *before, 1, *after, vocabulary.eos_id]


@pytest.mark.usefixtures("corpus_folder")
def test_a_model_without_the_transform_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = trained(tmp_path, **{"model.head_transform": False})
    with pytest.raises(InputError, match=r"head_transform=false: ModernBertForMaskedLM has dense → GELU → LayerNorm"):
        export(path, tmp_path / "exported")
    assert {entry.name for entry in tmp_path.iterdir()} == {"corpus", "runs"}


@pytest.mark.usefixtures("corpus_folder")
def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    path = trained(tmp_path)
    run = open_run(path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("kept")
    with pytest.raises(InputError, match="is there already, and not an empty folder"):
        export_run(run, tmp_path / "full")
    assert (tmp_path / "full/mine").read_text() == "kept"
    with pytest.raises(InputError, match="is no run; give DIR/ARM-seedN"):
        export(tmp_path / "full/mine", tmp_path / "exported")
    tokenizer = path.parent / TOKENIZER_FILE
    document = json.loads(tokenizer.read_text())
    tokenizer.write_text(json.dumps(document, indent=3))
    with pytest.raises(InputError, match=r"is not the tokenizer of tied-seed0\.json"):
        export(path, tmp_path / "exported")
    tokenizer.unlink()
    with pytest.raises(InputError, match="the run's tokens have no names"):
        export(path, tmp_path / "exported")
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="a run is both its record and its model"):
        export(path, tmp_path / "exported")


@pytest.mark.parametrize("edit", [{"seq_length": "x"}, {"seq_length": 10**9}, {"corpus": None}, {"eval_mask_seed": -1}])
@pytest.mark.usefixtures("corpus_folder")
def test_a_strangers_words_on_how_to_score_are_checked(edit: dict[str, Any], tmp_path: Path) -> None:
    folder = export(trained(tmp_path), tmp_path / "exported")
    config = json.loads((folder / "config.json").read_text())
    config["tiedlm"] |= edit
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config.json, tiedlm: {next(iter(edit))}"):
        evaluate(folder, str(tmp_path / "corpus"))
    config["tiedlm"] = []
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config.json, tiedlm"):
        evaluate(folder, str(tmp_path / "corpus"))


@pytest.mark.usefixtures("corpus_folder")
def test_an_exported_model_takes_no_other_blocks(tmp_path: Path) -> None:
    folder = export(trained(tmp_path), tmp_path / "exported")
    with pytest.raises(InputError, match=r"--seq-length 8: .* is scored in the blocks of its run"):
        evaluate(folder, str(tmp_path / "corpus"), seq_length=8)
