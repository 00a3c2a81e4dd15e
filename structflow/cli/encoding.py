"""Output on terminals that can't show every character, such as those of a latin-1 locale."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from typing import TextIO

SUBSTITUTES = {
    "→": "->",
    "…": "...",
    "−": "-",
    "–": "-",
    "—": "-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "∅": "none",
    "∂": "d",
    "Σ": "sum",
    "²": "^2",
    "·": "*",
    "×": "x",
    "±": "+-",
    "½": "1/2",
    "⁻": "-",
    "‖": "||",
    "√": "sqrt",
    "∇": "grad ",
    "∏": "prod",
    "∞": "inf",
    "∫": "int",
    "≠": "!=",
    "←": "<-",
    "▼": "v",
    "µ": "u",
    "λ": "lambda",
    "Λ": "Lambda",
    "⟨": "<",
    "⟩": ">",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"',
    "”": '"',
}
"""What is printed for characters that have a usual spelling in ASCII."""

HANDLER = "structflow.substitute"


def substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler of `codecs`: ASCII for what an encoding lacks; a `?` where there is no usual spelling."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(ascii_for, error.object[error.start : error.end])), error.end


def ascii_for(character: str) -> str:
    """The usual spelling of one character in ASCII: the name of a Greek letter, `-`, `|` or `+` for a line, or `?`."""
    if character in SUBSTITUTES:
        return SUBSTITUTES[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK "):
        letter = name.split(" LETTER ")[-1].split(" ")[0].lower()
        return letter.capitalize() if "CAPITAL" in name else letter
    if name.startswith("BOX DRAWINGS"):
        return "-" if name.endswith(" HORIZONTAL") else "|" if name.endswith(" VERTICAL") else "+"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"


def substitute_what_streams_lack() -> None:
    """Print substitutes, instead of failing, for characters that standard output or standard error can't encode."""
    codecs.register_error(HANDLER, substitute)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # tests and notebooks put other objects in their place
        if reconfigure is not None:
            reconfigure(errors=HANDLER)


def shows_everything(stream: TextIO) -> bool:
    """Whether a stream can encode any character, so that programs read what was meant."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name.startswith("utf")
