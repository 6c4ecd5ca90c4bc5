"""When two questions are the same question: the normal form that
de-duplication of problem sets and decontamination compare, and the words by which they tell how alike two texts are.

The form forgives how a text is set, never what it says: operators, signs, digits and word borders stay.
The LaTeX part follows `_strip_string` of the MATH data set's own checker (Hendrycks et al. 2021,
https://github.com/hendrycks/math/blob/main/modeling/math_equivalence.py): sizing and spacing commands and dollar signs
go, `\\dfrac` and `\\tfrac` are `\\frac`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})  # noqa: RUF001
_FRACTIONS = re.compile(r"\\[dt]frac(?![a-z])")
_LATEX_SETTING = re.compile(r"\\(?:left|right|displaystyle|qquad|quad)(?![a-z])|\\[!,;:\s()\[\]]|\\?\$")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\\?[^\W\d_]+|\d+(?:\.\d+)?|[-+*/^=<>!%]")
_SPACE_AT_SYMBOL = re.compile(r" (?=[^\w ])|(?<=[^\w ]) ")


def normalised_question(text: str) -> str:
    r"""The normal form of a question; equal forms mean the same question.

    Steps: Unicode NFKC and case folding; typographic quotes, dashes and minus signs to ASCII; LaTeX sizing, spacing and
    math delimiters away; white space to single blanks, and to nothing beside a symbol (`x + 1` is `x+1`); no final
    full stop or question mark (an exclamation mark may be a factorial).
    """
    folded = unicodedata.normalize("NFKC", text.strip().translate(_TYPOGRAPHY)).casefold()
    unset = _LATEX_SETTING.sub(" ", _FRACTIONS.sub(r"\\frac", folded))
    return _SPACE_AT_SYMBOL.sub("", _SPACE.sub(" ", unset)).strip().rstrip(".? ")


def question_words(text: str) -> list[str]:
    r"""The words of a text, for comparing n-grams: words, LaTeX commands, numbers and operators of `normalised_question`.

    Punctuation, braces and dollar signs are left out, as setting; operators and signs stay, for they make another question.
    """
    return _WORD.findall(normalised_question(text))


def numbers_in(words: Sequence[str]) -> list[str]:
    """The numbers among `question_words`, in order."""
    return [word for word in words if word[0].isdigit()]
