"""The part of train that is trained on, and a vocabulary made of it alone."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cli.test_bad_input import GOOD, run_tiedlm, write
from tests.conftest import toy_experiment, train_arm
from tiedlm.comparison.compare import compare
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import TokenizedCorpus, find_tokens, tokenize
from tiedlm.errors import InputError
from tiedlm.masked_batch import EOS, PAD_ID, SPECIAL_TOKENS, UNK
from tiedlm.record.trained_on import trained_on
from tiedlm.training.device import Runtime

NUM_LINES = 1_200


@pytest.fixture
def rich_folder(tmp_path: Path) -> Path:
    """A text with words that are rare enough to be missing from a part of it."""
    return write_rich_corpus(tmp_path / "rich")


def write_rich_corpus(folder: Path) -> Path:
    """Lines of one to thirty words, of 1,500 words that become rarer and rarer."""
    generator = random.Random(5)
    folder.mkdir()
    words = [f"w{number}" for number in range(1_500)]
    weights = [1 / (number + 1) for number in range(1_500)]
    for split, num_lines in (("train", NUM_LINES), ("valid", 60), ("test", 60)):
        lines = [" ".join(generator.choices(words, weights, k=generator.randint(1, 30))) for _ in range(num_lines)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def config_of(folder: Path, **changes: Any) -> CorpusConfig:
    """Of words, a tenth of the text."""
    raw = {"name": str(folder), "tokenizer": "word", "seq_length": 16, "fraction": 0.1} | changes
    return CorpusConfig.model_validate(raw)


def words_trained_on(tokens: TokenizedCorpus, config: CorpusConfig) -> list[list[str]]:
    """The blocks of train as words."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokens.tokenizer_text())
    blocks = tokens.blocks("train", config).numpy()
    return [[tokenizer.id_to_token(int(number)) for number in block if number != PAD_ID] for block in blocks]


@pytest.mark.parametrize("fraction", [0.03, 0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_words_are_trained_on_whosever_the_vocabulary_is(
    rich_folder: Path, fraction: float, seed: int
) -> None:
    corpus = load_corpus(str(rich_folder))
    whole, own = (
        config_of(rich_folder, fraction=fraction, fraction_seed=seed, vocabulary=vocabulary)
        for vocabulary in ("whole", "fraction")
    )
    of_whole, of_own = tokenize(corpus, whole), tokenize(corpus, own)
    words = words_trained_on(of_own, own)
    assert words == words_trained_on(of_whole, whole)
    known = {word for block in words for word in block}
    assert of_own.vocab_size == len(known | {*SPECIAL_TOKENS, EOS})
    assert UNK not in known
    assert of_own.num_unk["valid"] > of_whole.num_unk["valid"]


def test_counts_are_those_of_the_part(rich_folder: Path) -> None:
    config = config_of(rich_folder, vocabulary="fraction")
    tokens = tokenize(load_corpus(str(rich_folder)), config)
    words = [word for block in words_trained_on(tokens, config) for word in block]
    assert tokens.num_tokens["train"] == len(words) == tokens.num_words["train"]
    assert sorted(tokens.token_counts("train").tolist(), reverse=True)[: len(set(words))] == sorted(
        Counter(words).values(), reverse=True
    )
    experiment = toy_experiment(**{f"corpus.{key}": value for key, value in config.model_dump().items()})
    assert trained_on(experiment, tokens.num_tokens).num_tokens["train"] == len(words)


@pytest.mark.parametrize("tokenizer", ["word", "word:50", "bpe:300"])
@pytest.mark.parametrize("fraction", [1.0, 0.9999])  # which is all blocks too
def test_the_vocabulary_of_all_the_text_is_the_whole_one(rich_folder: Path, tokenizer: str, fraction: float) -> None:
    corpus = load_corpus(str(rich_folder))
    whole, own = (
        tokenize(corpus, config_of(rich_folder, tokenizer=tokenizer, fraction=fraction, vocabulary=vocabulary))
        for vocabulary in ("whole", "fraction")
    )
    assert own.folder != whole.folder
    for name in (*(f"{split}.ids" for split in ("train", "valid", "test")), "tokenizer.json", "meta.json"):
        assert Path(own.folder, name).read_bytes() == Path(whole.folder, name).read_bytes()


@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    lines=st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "[MASK]", "ÿ\u3000d", "e  f"]), min_size=1, max_size=20),
        min_size=30,
        max_size=60,
    ),
    fraction=st.floats(0.2, 1.0),
    seed=st.integers(0, 5),
)
def test_any_part_of_any_words_has_the_blocks_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], fraction: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "train.txt").write_text("a b\n" + "".join(" ".join(line) + "\n" for line in lines))
    for split in ("valid", "test"):
        (folder / f"{split}.txt").write_text("a b c d e f a b c\n")
    corpus = load_corpus(str(folder))
    changes = {"seq_length": 8, "fraction": fraction, "fraction_seed": seed}
    whole = config_of(folder, **changes)
    own = config_of(folder, **changes, vocabulary="fraction")
    of_whole = tokenize(corpus, whole)
    assert words_trained_on(tokenize(corpus, own), own) == words_trained_on(of_whole, whole)


def test_draws_differ_and_overlap_as_shares_of_one_text_do(rich_folder: Path) -> None:
    corpus = load_corpus(str(rich_folder))
    drawn = []
    for seed in (0, 1, 2):
        config = config_of(rich_folder, fraction=0.3, fraction_seed=seed)
        tokens = tokenize(corpus, config)
        num_blocks = config.num_blocks(tokens.num_tokens["train"])
        found = {block.tobytes() for block in tokens.blocks("train", config).numpy()}
        smaller = config.model_copy(update={"fraction": 0.1})
        assert {block.tobytes() for block in tokens.blocks("train", smaller).numpy()} < found
        drawn.append(found)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        share = len(drawn[one] & drawn[other]) / num_blocks  # 0.3² of them, hypergeometric
        assert abs(share - 0.09) < 4 * 0.3 * 0.7 / np.sqrt(num_blocks)


def test_bpe_takes_the_lines_that_begin_in_the_blocks(rich_folder: Path) -> None:
    config = config_of(rich_folder, tokenizer="bpe:400", fraction=0.2, vocabulary="fraction")
    tokens = tokenize(load_corpus(str(rich_folder)), config)
    from tiedlm.data.tokenizer import read_vocabulary

    vocabulary = read_vocabulary(tokens.tokenizer_text(), config.tokenizer)
    ids = tokens.token_ids("train")
    lines = np.split(ids, np.flatnonzero(ids == vocabulary.eos_id) + 1)[:-1]
    found = [vocabulary.tokenizer.decode(line[:-1].tolist()).strip() for line in lines]
    of_train = (rich_folder / "train.txt").read_text().splitlines()
    assert set(found) < set(of_train)
    assert 0.15 * NUM_LINES < len(found) < 0.25 * NUM_LINES


def test_both_arms_train_on_one_draw_and_their_records_pair(rich_folder: Path, tmp_path: Path) -> None:
    changes = {"corpus.name": str(rich_folder), "corpus.fraction": 0.1, "corpus.vocabulary": "fraction"}
    records = {}
    for seed in (1, 2):
        experiment = toy_experiment(**changes, **{"corpus.fraction_seed": seed})
        corpus = tokenize(load_corpus(str(rich_folder)), experiment.corpus)
        runtime = Runtime("cpu", "fp32")
        records[seed] = [
            train_arm(experiment, arm, 0, corpus, runtime, tmp_path, "toy", lambda _: None)
            for arm in ("tied", "untied")
        ]
        assert compare(records[seed]).trained_on.num_tokens["train"] == corpus.num_tokens["train"]
        data = records[seed][0].data
        assert find_tokens(data.corpus, experiment.corpus, data.tokenizer_sha256, data.text_sha256) is not None
    assert records[1][0].data.tokenizer_sha256 != records[2][0].data.tokenizer_sha256
    with pytest.raises(InputError, match=r"differ in corpus\.fraction_seed \(1, 2\)"):
        compare([records[1][0], records[2][1]])


def test_neutral_values_are_not_written(rich_folder: Path) -> None:
    plain = config_of(rich_folder)
    assert plain.model_dump().keys() == {"name", "tokenizer", "seq_length", "fraction"}
    assert config_of(rich_folder, fraction_seed=2).model_dump()["fraction_seed"] == 2
    assert config_of(rich_folder, vocabulary="fraction").model_dump()["vocabulary"] == "fraction"


def test_a_tokenizer_that_is_given_has_no_vocabulary_of_a_part(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    arguments = "train --tied --corpus corpus --set corpus.vocabulary=fraction --set corpus.tokenizer=file:mine.json"
    answer = run_tiedlm(tmp_path, arguments)
    assert answer.returncode == 2
    assert "corpus.vocabulary='fraction' trains a tokenizer" in " ".join(answer.stderr.split())
