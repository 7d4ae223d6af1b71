"""`export`, `evaluate` and `explain`, which take a model that is trained already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tiedlm.cli.app import app
from tiedlm.cli.arguments import as_place, as_text, check_named
from tiedlm.cli.console import show, stderr, tell_place
from tiedlm.cli.options import TEXT, DataDirOption, DeviceOption, JsonOption, QuietOption, TextColumnOption
from tiedlm.errors import InputError

PROBE = "Instead of a perplexity"
PairsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.jsonl|agreement",
        help="How often the model finds the right one of two likelier: two forms of a word at one \\[MASK] (sentence, "
        "right, wrong), or two sentences (sentence_good, sentence_bad). agreement makes such items from the text's own "
        "sentences. MODEL may be a folder of runs.",
        show_default=False,
        rich_help_panel=PROBE,
    ),
]
SimilarityOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Whether words that people find similar have similar rows: SimLex-999's table, or word, word, score.",
        show_default=False,
        rich_help_panel=PROBE,
    ),
]
MaxItemsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Ask only N items of agreement, for a quick look.", show_default="all", rich_help_panel=PROBE
    ),
]
SENTENCE = "the company said its [MASK] rose"


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's model or record, DIR/ARM-seedN.safetensors.")],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where to write; not there yet, or empty.")],
) -> None:
    """Write a run as a folder that `transformers` reads: model, tokenizer and model card.

    Example: tiedlm export runs/pydoc/tied-seed0.safetensors pydoc-tied
    """
    from tiedlm import export

    tell_place("model", export(as_place(run, "RUN"), as_place(folder, "FOLDER")))


@app.command()
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL [MODEL]",
            help="A run's model, DIR/ARM-seedN.safetensors, or a masked LM of transformers: a folder, or owner/name on "
            "the Hugging Face Hub. Two models are compared on the same text.",
        ),
    ],
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The text, as for compare.",
            show_default="the one on which the runs were trained",
            rich_help_panel=TEXT,
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="valid|test", help="Which splits.")] = "valid,test",
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Score only N tokens of each split, for a quick look.", show_default="all"),
    ] = None,
    seq_length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tokens of a block, those that the tokenizer adds included. A run of tiedlm keeps its own.",
            show_default="as many as the model reads, 512 at most",
        ),
    ] = None,
    pairs: PairsOption = None,
    similarity: SimilarityOption = None,
    max_items: MaxItemsOption = None,
    data_dir: DataDirOption = None,
    text_column: TextColumnOption = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar="auto|fp32|bf16", help="Precision of matrix products; auto is bf16 where the device has it."
        ),
    ] = "fp32",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score a masked LM on a text, each token predicted once under the mask; or compare two on it.

    Example: tiedlm evaluate google-bert/bert-base-uncased --corpus wikitext-2 --max-tokens 20000

    Example: tiedlm evaluate runs/pydoc/tied-seed0.safetensors runs/pydoc/untied-seed0.safetensors
    """
    from tiedlm import evaluate, evaluate_pair
    from tiedlm.cli.evaluation_table import render_evaluation
    from tiedlm.cli.pair_table import render_pair
    from tiedlm.cli.probe_command import Probe, show_probe
    from tiedlm.display.progress_display import PhaseDisplay

    for model in models:
        check_named(model, "MODEL")
    splits = [name.strip() for name in split.split(",")]
    probe = Probe(pairs, similarity, max_items, corpus, splits, data_dir, text_column, device)
    given_precision = None if precision == "fp32" else precision  # of bf16, many scores of a pair would be equal
    if probe.is_asked(max_tokens=max_tokens, seq_length=seq_length, precision=given_precision):
        if len(models) > 1:
            raise InputError(f"evaluate {' '.join(models)[:80]!r}: --pairs and --similarity take one model or folder")
        show_probe(models[0], probe, quiet, as_json)
        return
    if len(models) > 2:
        raise InputError(f"evaluate: {len(models)} models are given; give one, or two to compare")
    with PhaseDisplay(stderr, quiet) as display:
        options: dict[str, Any] = {
            "corpus": corpus,
            "splits": splits,
            "max_tokens": max_tokens,
            "seq_length": seq_length,
            "data_dir": data_dir,
            "text_column": text_column,
            "device": device,
            "precision": precision,
            "on_progress": display.update,
        }
        evaluation = evaluate(models[0], **options) if len(models) == 1 else None
        pair = evaluate_pair(models[0], models[1], **options) if len(models) == 2 else None
    if evaluation is not None:
        show(evaluation, render_evaluation(evaluation), as_json)
    if pair is not None:
        show(pair, render_pair(pair), as_json)


@app.command()
def explain(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] SENTENCE",
            help="MODEL: as for evaluate; without it, the two that come with tiedlm; a folder of runs is listed. "
            "SENTENCE: in quotes, with one \\[MASK] for the word to guess.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a sentence through the head of a masked LM: what does the multiplication do?

    Example: tiedlm explain "the company said its \\[MASK] rose"
    """
    from tiedlm import explain
    from tiedlm.cli.explanation_text import render_explanations
    from tiedlm.explanation.explanation import Explanations

    if _listed_folder(given or [], as_json):
        return
    match given or [SENTENCE]:
        case [sentence]:
            model = None
        case [model, sentence]:
            check_named(model, "MODEL")
        case words:
            raise InputError(
                f"explain {' '.join(words)[:80]!r}: is {len(words)} arguments; give the sentence in quotes, and "
                "before it a model if you like"
            )
    explanations = explain(as_text(sentence, "SENTENCE"), model)
    show(Explanations(explanations), render_explanations(explanations), as_json)


def _listed_folder(given: list[str], as_json: bool) -> bool:
    """Whether a folder of runs was given, alone or with a sentence: then its runs are listed."""
    from tiedlm.api.explainable_runs import explainable_runs
    from tiedlm.cli.explainable_lines import render_explainable

    match given:
        case [folder]:
            sentence = SENTENCE
        case [folder, sentence]:
            pass
        case _:
            return False
    if not os.path.isdir(folder):  # noqa: PTH112 (of a sentence that is too long for a path, Path raises an error)
        return False
    found = explainable_runs(Path(folder), sentence)
    if found is None:
        return False
    show(found, render_explainable(found), as_json)
    return True
