"""Reason `duplicate`: the teacher already wrote this for this problem, but for white space and letter case.

Reasoning and response count together. The one that `keep` places first stays. The same text for two problems is no duplicate.
"""

from __future__ import annotations

import hashlib

from mixdistill.records import Problem, Trace
from mixdistill.selection.rule import Rule, RuleContext, written_parts


def duplicate(context: RuleContext) -> Rule | None:
    """Reject what repeats an earlier trace of the problem that passed all rules before this one."""
    if not context.config.deduplicate:
        return None
    seen: set[bytes] = set()  # digests, so that long texts are not held twice

    def rule(trace: Trace, problem: Problem) -> str | None:
        normalised = " ".join("\n".join(written_parts(trace)).split()).casefold()
        digest = hashlib.blake2b(normalised.encode(), digest_size=16).digest()
        if digest in seen:
            return "duplicate"
        seen.add(digest)
        return None

    return rule
