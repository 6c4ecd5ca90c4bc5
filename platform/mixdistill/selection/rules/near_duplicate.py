"""Reason `near_duplicate`: the text hardly differs from one that is kept already.

`selection.likeness` says how that is measured. Two traces of a problem are compared, reasoning and response together, where
more than one a problem is kept (`max_per_problem`): each with those placed before it that stay, so the preferred one of two
stays. Traces of different problems are not compared: what alike problems have in common is the method that is to be taught.
Two problems that are one in slightly different words are for `selection.repeats`, with the same reason.
"""

from __future__ import annotations

from mixdistill.records import Problem, Trace
from mixdistill.selection.likeness import Shingles, jaccard, shingles
from mixdistill.selection.rule import Rule, RuleContext, written_words


def near_duplicate(context: RuleContext) -> Rule | None:
    """Reject what is at least as like to an earlier trace of the problem as the threshold says."""
    threshold, max_per_problem = context.config.near_duplicate_jaccard, context.config.max_per_problem
    if threshold is None or max_per_problem == 1:
        return None
    staying: list[Shingles] = []  # of the traces that will be kept

    def rule(trace: Trace, problem: Problem) -> str | None:
        if len(staying) == max_per_problem:
            return None  # it will be surplus
        mine = shingles(written_words(trace))
        if any(jaccard(mine, other) >= threshold for other in staying):
            return "near_duplicate"
        staying.append(mine)
        return None

    return rule
