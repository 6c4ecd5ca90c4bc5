"""Which traces may teach: traces with verdicts -> kept traces, and a named reason for each other one.

In the order in which a stage uses it: `cut` divides a teacher's traces into slices, `judge` applies the rules (one file a rule
in `rules/`) to a slice, `repeated_problems` finds the problems that stand there twice, and `settle` takes those out. So a
million traces are selected a slice at a time, and slices of any size give the same result. The verdicts themselves come from
`grading`; what an empty result means is for the stage to say.
"""

from mixdistill.selection.cut import Slice, cut
from mixdistill.selection.keep import KEEP_ORDERS, SURPLUS
from mixdistill.selection.parts import PART_SCHEMA, REASON_COLUMN, REJECTED_SCHEMA, judge, kept_rows, rejected_rows, settle
from mixdistill.selection.repeats import repeated_problems
from mixdistill.selection.rules import COMPARISONS, RULES
from mixdistill.selection.selector import Selector
from mixdistill.selection.yields import Yield

__all__ = [
    "COMPARISONS",
    "KEEP_ORDERS",
    "PART_SCHEMA",
    "REASON_COLUMN",
    "REJECTED_SCHEMA",
    "RULES",
    "SURPLUS",
    "Selector",
    "Slice",
    "Yield",
    "cut",
    "judge",
    "kept_rows",
    "rejected_rows",
    "repeated_problems",
    "settle",
]
