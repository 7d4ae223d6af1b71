"""A picture of what tying saves, over the vocabulary and the width of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.counting.closed_forms.parameters import ParameterCount
from tiedlm.counting.shown.plot_file import write_figure
from tiedlm.counting.what_if import savings_grid
from tiedlm.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45)


def draw_savings(counts: Sequence[ParameterCount], config: Mapping[str, Any] | None, path: Path) -> None:
    """The share that tying saves, as heights over V and H on logarithmic axes; the model is a star among its variants.

    Raises:
        InputError: the model has no closed form, or the file cannot be written.
    """
    model = counts[0]
    variants = [count for count in counts[1:] if _is_as_narrow(count, model)]
    vocab_sizes, hidden_sizes, fractions = savings_grid(model, config)

    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes long to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="vocabulary size V", ylabel="hidden size H")
    axes.set_xlim(vocab_sizes[0], vocab_sizes[-1])
    axes.set_ylim(hidden_sizes[0], hidden_sizes[-1])
    _draw_shares(figure, axes, model, variants, (vocab_sizes, hidden_sizes, fractions))
    _scale(axes, vocab_sizes, hidden_sizes)
    write_figure(figure, path, dpi=130)


def _draw_shares(
    figure: Figure,
    axes: Axes,
    model: ParameterCount,
    variants: Sequence[ParameterCount],
    grid: tuple[list[int], list[int], list[list[float]]],
) -> None:
    """The surface with its contour lines, and the models on it."""
    from matplotlib.ticker import FuncFormatter

    vocab_sizes, hidden_sizes, fractions = grid
    mesh = axes.pcolormesh(vocab_sizes, hidden_sizes, fractions, cmap="viridis", vmin=0, vmax=0.5, shading="gouraud")
    lines = axes.contour(vocab_sizes, hidden_sizes, fractions, levels=LEVELS, colors="white", linewidths=0.9)
    axes.clabel(lines, fmt=lambda fraction: f"{100 * fraction:.0f} %", fontsize=9)
    for variant in variants:
        axes.plot(variant.vocab_size, variant.hidden_size, "o", color="white", markeredgecolor="black", markersize=6)
    axes.plot(model.vocab_size, model.hidden_size, "*", color="#d55e00", markeredgecolor="white", markersize=17)
    label = f"{printable(model.name)[-60:]}: {100 * model.saved_fraction:.1f} %"
    axes.annotate(
        label,
        (model.vocab_size, model.hidden_size),
        xytext=(0, 13),
        textcoords="offset points",
        ha="center",
        parse_math=False,  # a name is no formula
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
    width = "H" if model.embedding_size == model.hidden_size else f"E (of {model.embedding_size})"
    colours = figure.colorbar(mesh, ax=axes, label=f"V × {width} as a share of the untied model")
    colours.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.set_title(f"What tying saves, by the form of {printable(str(model.architecture))}", parse_math=False)


def _scale(axes: Axes, vocab_sizes: list[int], hidden_sizes: list[int]) -> None:
    """Numbers along both axes as people write them."""
    from matplotlib.ticker import FuncFormatter

    for axis, sizes in ((axes.xaxis, vocab_sizes), (axes.yaxis, hidden_sizes)):
        ticks = _ticks(sizes[0], sizes[-1])
        axis.set_ticks(ticks, minor=False)
        axis.set_ticks([], minor=True)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _is_as_narrow(count: ParameterCount, model: ParameterCount) -> bool:
    """Whether its embeddings are factorised as the model's are, so that it lies on the same surface."""
    is_factorised = model.embedding_size != model.hidden_size
    return count.embedding_size == (model.embedding_size if is_factorised else count.hidden_size)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in between."""
    steps = [step * 10.0**power for power in range(10) for step in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]
