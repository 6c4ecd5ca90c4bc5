"""The selection rules: one file a rule, and the registry that puts them in order.

A trace is rejected by the first rule that objects, so the order is part of what the counts mean: what the engine did,
then what the grader said, then the form of the text, then what it would leak, then what it repeats of other traces.

The rules of `RULES` look at one trace, and are made once for all. Those of `COMPARISONS` remember the traces of a problem
that passed before, and are made afresh, which costs nothing, for each problem: so none holds more than one problem's
traces. They stand last: a trace that is rejected for another reason makes no duplicate of a good one.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixdistill.selection.rule import RuleFactory
from mixdistill.selection.rules.contaminated import contaminated
from mixdistill.selection.rules.contaminated_ngram import contaminated_ngram
from mixdistill.selection.rules.duplicate import duplicate
from mixdistill.selection.rules.engine_error import engine_error
from mixdistill.selection.rules.near_duplicate import near_duplicate
from mixdistill.selection.rules.not_correct import not_correct
from mixdistill.selection.rules.repetitive import repetitive
from mixdistill.selection.rules.too_long import too_long
from mixdistill.selection.rules.too_short import too_short
from mixdistill.selection.rules.truncated import truncated
from mixdistill.selection.rules.wrong_language import wrong_language

RULES: Mapping[str, RuleFactory] = {
    "engine_error": engine_error,
    "truncated": truncated,
    "not_correct": not_correct,
    "too_short": too_short,
    "too_long": too_long,
    "repetitive": repetitive,
    "wrong_language": wrong_language,
    "contaminated": contaminated,
    "contaminated_ngram": contaminated_ngram,
}
"""Rule name -> factory, in the order of application.

The name is also the reason, but for two rules: `engine_error` gives the engine's kind of error and `not_correct` the grader's
reason.
"""

COMPARISONS: Mapping[str, RuleFactory] = {"duplicate": duplicate, "near_duplicate": near_duplicate}
"""Rule name -> factory of a rule for the traces of one problem, in the order of application, after all of `RULES`."""
