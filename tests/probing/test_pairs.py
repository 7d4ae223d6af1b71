"""Minimal pairs: a model that knows only frequencies, one of `transformers` in a plain loop, and what is refused."""

from __future__ import annotations

import json
import random
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.test_evaluate import saved_model
from tests.exchange.test_export import trained
from tests.exchange.test_foreign_loading import change_weights
from tiedlm import InputError, compare_pairs, export, score_pairs
from tiedlm.cli.probe_tables import render_folder_pairs, render_pairs
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.exchange.trained_run import open_run
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.model.saved_model import save_model
from tiedlm.probing.agreement import agreement_items, count_words, other_forms
from tiedlm.probing.folder_pairs import compare_outcomes
from tiedlm.probing.judging import LEFT_OUT, LONG, MASKED, SEVERAL, UNKNOWN, Likelihoods, judge, likelihoods
from tiedlm.probing.pair_file import read_pair_file
from tiedlm.probing.pair_items import Cloze, Item, PairSet, SentencePair
from tiedlm.probing.pair_scores import Outcomes, TrainWords
from tiedlm.probing.row_cosines import row_cosines
from tiedlm.probing.sentence_model import reading, sentences_of_foreign, sentences_of_run
from tiedlm.probing.word_similarity import WordPair
from tiedlm.processes.guarded_process import NoGuard
from tiedlm.record.record_file import load_record, save_record
from tiedlm.record.run_id import RunId

NOUNS = "cat dog cow bird fox pony fly bus goat duck frog hen".split()
PLURALS = "cats dogs cows birds foxes ponies flies buses goats ducks frogs hens".split()


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A corpus whose nouns have two forms, some as frequent as each other."""
    folder, generator = tmp_path / "corpus", random.Random(0)
    folder.mkdir()
    for split, number in (("train", 300), ("valid", 60), ("test", 40)):
        lines = []
        for _ in range(number):
            first, second = generator.choices(NOUNS + PLURALS, [1 / (1 + rank % 7) for rank in range(24)], k=2)
            lines.append(f"the {first} sees a {second} today")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    with (folder / "train.txt").open("a") as train:  # so that both forms of one pair, and of another, are as frequent
        counts = count_words(load_corpus(str(folder)))
        for one, other in (("cat", "cats"), ("fox", "foxes")):
            rarer = min((one, other), key=counts.__getitem__)
            for _ in range(abs(counts[one] - counts[other])):
                train.write(f"{rarer}\n")
    return folder


def change(path: Path, set_weights: Any) -> None:
    """Give a run's model other weights, and its record their digest."""
    run = open_run(path)
    with torch.no_grad():
        set_weights(run.model)
    saved = save_model(run.model, run.record.data.vocab_size, path)
    save_record(
        load_record(path.with_suffix(".json")).model_copy(update={"model_sha256": saved.sha256}).sealed(), path.parent
    )


def knows_frequencies(path: Path, text: Path) -> None:
    """Every row zero, and of each word its log count as the bias."""
    vocabulary, counts = open_run(path).vocabulary, count_words(load_corpus(str(text)))

    def set_weights(model: MaskedLM) -> None:
        model.head.decoder.weight.zero_()
        for word, number in counts.items():
            model.head.decoder.bias[vocabulary.tokenizer.token_to_id(word)] = np.log(number + 1)

    change(path, set_weights)


@pytest.mark.parametrize("arm", ["tied", "untied"])
def test_a_model_that_knows_only_frequencies_scores_the_floor(arm: str, text: Path, tmp_path: Path) -> None:
    path = trained(tmp_path, arm)
    knows_frequencies(path, text)
    found = score_pairs(path)
    assert found.num_items == found.num_scored > 100
    assert found.num_ties > 0
    assert 0.5 < found.accuracy < 1.0
    assert found.accuracy == found.frequency_accuracy
    parts = [*found.by_right_form, *found.by_rarer_form]
    assert len({part.accuracy for part in parts}) > 3
    assert [part.accuracy for part in parts] == [part.frequency_accuracy for part in parts]


def test_the_floor_of_sentences_is_that_of_their_words(text: Path, tmp_path: Path) -> None:
    path = trained(tmp_path)
    knows_frequencies(path, text)
    lines = [
        {"sentence_good": f"the {one} sees a {other}", "sentence_bad": f"the {other} sees {a} {one}", "UID": a}
        for one, other in zip(NOUNS, PLURALS, strict=True)
        for a in ("a", "frogs")
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = score_pairs(path, tmp_path / "own.jsonl")
    by_paradigm = {part.name: part for part in found.paradigms}
    assert by_paradigm["a"].accuracy == by_paradigm["a"].frequency_accuracy == 0.5  # the same words in another order
    assert by_paradigm["frogs"].accuracy == by_paradigm["frogs"].frequency_accuracy == 1.0  # which are rarer than "a"
    assert found.accuracy == found.frequency_accuracy == 0.75


@pytest.mark.usefixtures("text")
def test_a_model_without_an_opinion_is_half_right(tmp_path: Path) -> None:
    path = trained(tmp_path)
    change(path, lambda model: [parameter.zero_() for parameter in model.parameters()])
    found = score_pairs(path)
    assert (found.accuracy, found.num_ties) == (0.5, found.num_scored)


def plain_likelihoods(model: Any, tokenizer: Any, item: Item) -> tuple[float, float]:
    """In a few lines: one row at a time, as the paper has it."""

    def log_probabilities(ids: list[int], place: int) -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0, place].double().log_softmax(-1)  # type: ignore[no-any-return]

    if isinstance(item, Cloze):
        ids = tokenizer(item.sentence.replace("[MASK]", tokenizer.mask_token))["input_ids"]
        at = log_probabilities(ids, ids.index(tokenizer.mask_token_id))
        right, wrong = (at[tokenizer.convert_tokens_to_ids(form)].item() for form in (item.right, item.wrong))
        return right, wrong
    sums = []
    for sentence in (item.good, item.bad):
        encoded, total = tokenizer(sentence), 0.0
        words = encoded.word_ids()
        for place, word in enumerate(words):
            if word is None:
                continue
            ids = list(encoded["input_ids"])
            for right in range(place, len(ids)):
                if words[right] == word:
                    ids[right] = tokenizer.mask_token_id
            total += log_probabilities(ids, place)[encoded["input_ids"][place]].item()
        sums.append(total)
    return sums[0], sums[1]


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_a_model_of_transformers_answers_as_a_plain_loop_does(kind: str, tmp_path: Path) -> None:
    model, tokenizer = saved_model(kind, tmp_path / "model", tie=True)
    items: list[Item] = [
        Cloze("the dog lik a [MASK] today", "bone", "dog"),
        Cloze("a [MASK]", "dog", "today"),
        SentencePair("the dog likes a bone to today", "the dog likes to a bone"),
        SentencePair("likes likes the dog", "dog"),
    ]
    folder = open_foreign(str(tmp_path / "model"))
    found = likelihoods(sentences_of_foreign(folder, NoGuard()), items, "cpu")
    for item, answer in zip(items, found, strict=True):
        assert isinstance(answer, Likelihoods)
        assert tuple(answer) == pytest.approx(plain_likelihoods(model, tokenizer, item), abs=1e-6)
    lines = [
        {"sentence": one.sentence, "right": one.right, "wrong": one.wrong} for one in items if isinstance(one, Cloze)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    scores = score_pairs(tmp_path / "model", tmp_path / "own.jsonl")  # in a process of its own
    assert scores.accuracy == sum(answer[0] > answer[1] for answer in found[:2]) / 2
    assert (scores.frequency_accuracy, scores.corpus, scores.by_right_form) == (None, None, [])


def test_a_model_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "model", tie=True)
    names = ("cls.predictions.transform.LayerNorm.weight", "bert.embeddings.word_embeddings.weight")
    change_weights(tmp_path / "model", lambda all_: all_ | {name: all_[name] * 1e30 for name in names})
    for item in (Cloze("a [MASK]", "dog", "bone"), SentencePair("the dog", "the bone")):
        with pytest.raises(InputError, match="its probabilities are not numbers; the model is damaged"):
            likelihoods(sentences_of_foreign(open_foreign(str(tmp_path / "model")), NoGuard()), [item], "cpu")


def test_a_sentence_with_a_models_own_mask_is_not_asked(tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "model", tie=True)
    model = sentences_of_foreign(open_foreign(str(tmp_path / "model")), NoGuard())
    found = judge(model, [SentencePair("the [MASK]", "the dog"), SentencePair("the bone", "the dog")], "cpu")
    assert found.not_scored == {MASKED: 1}


def test_a_word_ends_where_its_tokenizer_or_a_blank_has_it() -> None:
    """Some tokenizers take a whole text for one word."""
    pieces = models.WordPiece({"do": 0, "##g": 1, ".": 2, "bone": 3, "[UNK]": 4}, unk_token="[UNK]")
    by_signs, whole = (
        Tokenizer(pieces),
        Tokenizer(models.Unigram([("[UNK]", 0.0), ("▁do", -1.0), ("g.", -1.0), ("▁bone", -1.0)], 0)),
    )
    by_signs.pre_tokenizer, whole.pre_tokenizer = pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace(split=False)
    assert reading("dog. bone", "[MASK]", by_signs.encode("dog. bone"), None).words == [0, 0, 1, 2]
    assert reading("dog. bone", "[MASK]", whole.encode("dog. bone"), None).words == [0, 0, 1]


@pytest.mark.usefixtures("text")
def test_an_exported_run_answers_as_the_run_does(tmp_path: Path) -> None:
    path = trained(tmp_path, **{"model.head_transform": True})
    own = score_pairs(path, max_items=50)
    theirs = score_pairs(export(path, tmp_path / "exported"), max_items=50)
    assert (own.num_items, own.num_scored) == (50, 50)
    assert (own.accuracy, own.frequency_accuracy) == (theirs.accuracy, theirs.frequency_accuracy)
    one = [SentencePair("the cat sees a dog", "the cats sees a dog"), Cloze("the [MASK] sees", "cat", "cats")]
    folder = open_foreign(str(tmp_path / "exported"))
    ours = likelihoods(sentences_of_run(open_run(path), "run"), one, "cpu")
    for answer, other in zip(ours, likelihoods(sentences_of_foreign(folder, NoGuard()), one, "cpu"), strict=True):
        assert tuple(answer) == pytest.approx(tuple(other), abs=1e-4)  # type: ignore[arg-type]


@pytest.mark.usefixtures("text")
def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    run = open_run(trained(tmp_path))
    items = [
        Cloze("the [MASK] sees", "zebra", "zebras"),
        Cloze("the [MASK] sees", "cat", "cat sees"),
        Cloze("the [MASK] " + "sees " * 40, "cat", "cats"),
        SentencePair("the zebra sees", "the cat sees"),
        Cloze("the [MASK] unheard", "cat", "cats"),
    ]
    found = judge(sentences_of_run(run, "run"), items, "cpu")
    assert found.not_scored == {UNKNOWN: 2, SEVERAL: 1, LONG: 1}
    assert found.is_scored.tolist() == [False, False, False, False, True]


@pytest.mark.parametrize("of", ["a run", "a model of transformers"])
@pytest.mark.usefixtures("text")
def test_a_character_that_a_tokenizer_leaves_out_is_no_likely_one(of: str, tmp_path: Path) -> None:
    """BPE without an unknown token is silent, so that `zürn` would be `zrn`, and its `ü` would cost nothing."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if of != "a run" else []
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate([*names, *"acehnrstz"])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(names)
    if of == "a run":
        tokenizer.save(str(tmp_path / "mine.json"))
        model = sentences_of_run(
            open_run(trained(tmp_path, **{"corpus.tokenizer": f"file:{tmp_path / 'mine.json'}"})), "run"
        )
    else:
        saved_model("Bert", tmp_path / "model", tie=True)
        tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
        model = sentences_of_foreign(open_foreign(str(tmp_path / "model")), NoGuard())
    items = [
        SentencePair("a zürn", "a zrn"),
        SentencePair("a zrn", "a cat"),
        Cloze("the [MASK] sees zü", "a", "n"),
        Cloze("the [MASK] sees", "aü", "n"),
        Cloze("the [MASK] sees", "a", "n"),
    ]
    found = judge(model, items, "cpu")
    assert found.not_scored == {LEFT_OUT: 3}
    assert found.is_scored.tolist() == [False, True, False, False, True]
    cosines = row_cosines(model, [WordPair("a", "n", 1.0), WordPair("aü", "n", 1.0)])
    assert cosines.has_both == [True, False]


def test_forms_are_found_by_their_spelling() -> None:
    counts = count_of("company companies say says fox foxes pass passes new news as a it its thi this boy boies boys")
    other = other_forms(counts)
    pairs = "company companies say says fox foxes pass passes new news thi this boy boys".split()
    assert other == {
        one: two
        for first, second in zip(pairs[::2], pairs[1::2], strict=True)
        for one, two in ((first, second), (second, first))
    }


def count_of(words: str) -> Counter[str]:
    return Counter(words.split())


@pytest.mark.slow
def test_the_penn_treebank_has_as_many_items_as_is_said(real_data: Path) -> None:
    corpus = load_corpus("ptb", real_data)
    counts = count_words(corpus)
    items = agreement_items(corpus, counts, ("valid", "test"), None).items
    assert (len(items), len({item.group for item in items})) == (36_383, 1_322)
    by_s = [word for word in counts if word.isalpha() and len(word) > 2 and counts[f"{word}s"]]
    assert (len(by_s), sum(min(counts[word], counts[f"{word}s"]) < 100 for word in by_s)) == (1_265, 1_174)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"sentence": "the cat", "right": "a", "wrong": "b"}', "line 2: sentence='the cat' has [MASK] 0 times"),
        ('{"sentence": "[MASK] [MASK]", "right": "a", "wrong": "b"}', "has [MASK] 2 times; write it once"),
        ('{"sentence": "a [MASK]", "right": "a"}', "line 2: wrong is missing"),
        ('{"sentence": "a [MASK]", "right": "a", "wrong": 3}', "line 2: wrong is '3', which is no text"),
        ('{"sentence": "a [MASK]", "right": "a", "wrong": "a"}', "right and wrong are both 'a'"),
        ('{"sentence": "a [MASK]", "right": "[MASK]", "wrong": "a"}', "right='[MASK]' has [MASK]"),
        ('{"sentence_good": "a"}', "line 2: sentence_bad is missing"),
        ('{"sentence_good": "a", "sentence_bad": "a"}', "sentence_good and sentence_bad are both 'a'"),
        ('{"sentence_good": "a", "sentence_bad": "b", "right": "a"}', "line 2: has fields of both kinds"),
        ('{"sentence_good": "a", "sentence_bad": "b", "UID": 3}', "UID is '3', which is no text"),
        ('{"sentence_good": "a \\ud83d", "sentence_bad": "b"}', "sentence_good is 'a \\ud83d', which is no text"),
        ('{"text": "a"}', "line 2: has no item; give either sentence, right and wrong"),
        ("[1]", "line 2: is JSON, but not an object"),
        ("{", "line 2: is not valid JSON"),
    ],
)
def test_a_bad_line_is_refused(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"sentence_good": "a", "sentence_bad": "b", "extra": [1]}\n' + line + "\n")
    with pytest.raises(InputError) as refused:
        read_pair_file(path)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"\n\n", "has no item"), (b"\xff", "is not UTF-8 text")]
)
def test_a_bad_file_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_pair_file(path)


def outcomes(points: Any) -> Outcomes:
    return Outcomes("model", "kind", True, 1, [], np.asarray(points, dtype=np.float64), {})


def test_arms_are_compared_over_the_items_that_all_were_asked() -> None:
    generator = np.random.default_rng(0)
    items = tuple(Cloze("a [MASK]", f"right{number % 40}", f"wrong{number % 40}") for number in range(200))
    pairs, train = PairSet("own", items), TrainWords("corpus", {}, count_of("a"))
    points = {
        RunId(arm, seed): (generator.random(200) < right)
        for arm, right in (("tied", 0.9), ("untied", 0.6))
        for seed in range(3)
    }
    found = {run: outcomes(of_run) for run, of_run in points.items()}
    found[RunId("untied", 0)].points[:20] = np.nan
    (one,) = compare_outcomes("folder", found, pairs, train, "tied").differences
    assert (one.arms, one.seeds, one.num_items, one.num_groups) == (("tied", "untied"), [0, 1, 2], 180, 40)
    values = [points[RunId("untied", seed)][20:].mean() - points[RunId("tied", seed)][20:].mean() for seed in range(3)]
    assert one.values == pytest.approx(values)
    assert one.mean == pytest.approx(np.mean(values))
    assert one.verdict == "tied better"
    assert one.p_holm == one.p_value
    for num_seeds, words in (
        (1, "one seed gives no verdict; its interval is over items alone"),
        (2, "2 seeds give no verdict"),
    ):
        fewer = {run: of_run for run, of_run in found.items() if run.seed < num_seeds}
        compared = compare_outcomes("folder", fewer, pairs, train, "tied")
        assert (compared.differences[0].verdict, compared.differences[0].p_holm) == ("no verdict", None)
        assert compared.differences[0].ci95 is not None
        assert words in compared.notes[0]


@pytest.mark.usefixtures("text")
def test_the_command_compares_the_arms_of_a_folder(tmp_path: Path) -> None:
    trained(tmp_path), trained(tmp_path, "untied")
    folder = compare_pairs(tmp_path / "runs", max_items=60)
    document = json.loads(run_tiedlm(tmp_path, "evaluate runs --pairs agreement --max-items 60 --json").stdout)
    assert document["schema_version"] == 1
    assert [run["accuracy"] for run in document["runs"]] == [run.accuracy for run in folder.runs]
    assert document["differences"][0]["mean"] == folder.differences[0].mean
    shown = run_tiedlm(tmp_path, "evaluate runs --pairs agreement --max-items 60")
    assert shown.returncode == 0, shown.stderr
    assert "untied − tied" in shown.stdout
    assert shown.stdout.rstrip().endswith("no verdict.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--pairs nowhere.jsonl", "--pairs nowhere.jsonl: cannot be read"),
        ("--pairs agreement --similarity a.tsv", "--pairs and --similarity do not go together"),
        ("--pairs agreement --max-tokens 10", "--pairs and --max-tokens do not go together"),
        ("--pairs agreement --precision bf16", "--pairs and --precision do not go together"),
        ("--pairs agreement --max-items 0", "--max-items 0: is no number of items"),
        ("--pairs agreement --split train", "--split train: is not of valid and test"),
        ("--max-items 3", "--max-items 3 is for --pairs, which is not given"),
        ("--similarity a.tsv --corpus ptb", "--similarity and --corpus do not go together"),
        ("--similarity nowhere.tsv", "--similarity nowhere.tsv: cannot be read"),
    ],
)
@pytest.mark.usefixtures("text")
def test_what_does_not_go_is_refused(options: str, words: str, tmp_path: Path) -> None:
    trained(tmp_path)
    answer = run_tiedlm(tmp_path, f"evaluate runs/tied-seed0.safetensors {options}")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert words in answer.stderr


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_into_a_terminal(width: int) -> None:
    generator = np.random.default_rng(0)
    items = [Cloze("a [MASK]", f"right{number % 40}", f"wrong{number % 40}", "agreement") for number in range(200)]
    pairs = PairSet("own", (*items, SentencePair("a b", "b a", "a paradigm with a long name")))
    train = TrainWords("corpus", {}, count_of("right1 " * 20_000 + "right2 " * 150))
    found = {
        RunId(arm, seed): outcomes(generator.random(201) < 0.9)
        for arm in ("tied", "untied-no-transform")
        for seed in (0, 1, 2)
    }
    folder = compare_outcomes("a-folder/of/runs", found, pairs, train, "tied")
    for rendered in (render_folder_pairs(folder), render_pairs(folder.runs[0])):
        console = Console(width=width, record=True, file=StringIO())
        console.print(rendered, highlight=False)
        lines = console.export_text().splitlines()
        assert max(map(len, lines)) <= width
        shown = [" ".join(line.split()) for line in lines]
        assert any("10,000 or more" in line and " 5" in line for line in shown)
        assert not any(line.strip() in ("%", "]", "]%") for line in lines)  # no figure is broken
