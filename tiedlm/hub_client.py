"""What all that asks the Hugging Face Hub shares: a quiet client, and its errors in one line."""

from __future__ import annotations


def be_quiet() -> None:
    """What the Hub's client would log or draw is said in our own sentences."""
    from huggingface_hub.utils import disable_progress_bars, logging  # type: ignore[attr-defined]

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    disable_progress_bars()


def first_line(error: BaseException) -> str:
    """What a library says, short enough for a sentence."""
    text = str(error).strip()
    return text.splitlines()[0][:160].rstrip(" .") if text else type(error).__name__
