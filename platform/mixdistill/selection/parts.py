"""A slice's verdicts as a table: the traces in their order with a column `rejected` (null: kept), without rejected texts.

`judge` makes such a part from a slice's traces and problems, wherever there is room; `settle` has the last word once all
parts are known, and needs no texts for it.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from mixdistill.records import Problem, Trace, from_table, schema_of
from mixdistill.selection.keep import SURPLUS
from mixdistill.selection.selector import Selector

REASON_COLUMN: Final = "rejected"
PART_SCHEMA: Final = schema_of(Trace).append(pa.field(REASON_COLUMN, pa.string()))
REJECTED_SCHEMA: Final = pa.schema([("trace_id", pa.string()), ("reason", pa.string())])


def judge(traces: pa.Table, problems: pa.Table, selector: Selector) -> pa.Table:
    """The part of a slice: its traces, and what stands against each.

    Args:
        traces: `Trace` rows; the traces of a problem are all here.
        problems: `Problem` rows; every trace's problem is among them.
        selector: the rules.

    Raises:
        DataError: a trace is not correct, or ended in an error, without saying why.
    """
    by_id = {problem.problem_id: problem for problem in from_table(problems, Problem)}
    reasons = pa.array(selector.reasons(from_table(traces, Trace), by_id), pa.string())
    kept = reasons.is_null()
    part = traces.append_column(REASON_COLUMN, reasons)
    for name, nothing in (("reasoning", None), ("response", "")):
        at = part.schema.get_field_index(name)
        part = part.set_column(at, name, pc.if_else(kept, part.column(name), pa.scalar(nothing, pa.string())))
    return part.cast(PART_SCHEMA)


def settle(part: pa.Table, repeated: Set[str]) -> pa.Table:
    """The part without the problems that repeat an earlier one: all of their traces that had passed are near duplicates.

    Args:
        part: has the columns `problem_id` and `rejected`, and any others.
        repeated: ids of problems, see `repeats.repeated_problems`.
    """
    reasons = part.column(REASON_COLUMN)
    passed = pc.or_kleene(reasons.is_null(), pc.equal(reasons, SURPLUS))
    goes = pc.and_(passed, pc.is_in(part.column("problem_id"), value_set=pa.array(sorted(repeated), pa.string())))
    settled = pc.if_else(goes, pa.scalar("near_duplicate"), reasons)
    return part.set_column(part.schema.get_field_index(REASON_COLUMN), PART_SCHEMA.field(REASON_COLUMN), settled)


def kept_rows(part: pa.Table) -> pa.Table:
    """The `Trace` rows that may teach."""
    return part.filter(part.column(REASON_COLUMN).is_null()).drop_columns(REASON_COLUMN)


def rejected_rows(part: pa.Table) -> pa.Table:
    """The other traces, as `REJECTED_SCHEMA` has them."""
    rejected = part.filter(part.column(REASON_COLUMN).is_valid())
    return rejected.select(["trace_id", REASON_COLUMN]).rename_columns(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA)
