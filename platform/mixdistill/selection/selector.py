"""Applies the rules: traces with verdicts and their problems in, for each trace None (it is kept) or the reason against it.

What is decided here depends on one problem's traces alone, so traces are selected in slices of any size. Leaves problems that
repeat an earlier one to `repeats`, tables to `parts`, and the choice between teachers to `mixing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mixdistill.config import SelectionConfig
from mixdistill.records import Problem, Trace
from mixdistill.selection.keep import SURPLUS, preferred_first
from mixdistill.selection.rule import Rule, RuleContext
from mixdistill.selection.rules import COMPARISONS, RULES


class Selector:
    """The rules of one config, made once and applied to slice after slice; remembers nothing between problems."""

    def __init__(self, config: SelectionConfig, benchmark_questions: Mapping[str, Sequence[str]]) -> None:
        """Make the rules.

        Args:
            config: the `selection` section.
            benchmark_questions: benchmark name -> its questions, for decontamination.

        Raises:
            ConfigError: `config.language` is not known.
            MissingDependencyError: a rule that the config asks for needs a package that is not installed.
        """
        self._config = config
        self._context = RuleContext(config, benchmark_questions)
        self._rules = [rule for make_rule in RULES.values() if (rule := make_rule(self._context)) is not None]

    def reasons(self, traces: Sequence[Trace], problems: Mapping[str, Problem]) -> list[str | None]:
        """What stands against each trace.

        The traces of a problem are taken in the order of `config.keep`. Each meets the rules in the order of `RULES` and
        `COMPARISONS` and is rejected by the first one that objects; the first `config.max_per_problem` that pass stay, the
        others are surplus.

        Args:
            traces: of one teacher, all traces of a problem together in one call; `correct` and `reason` hold the verdict.
            problems: by problem id; every trace's problem is among them.

        Raises:
            DataError: a trace is not correct, or ended in an error, without saying why.
        """
        by_problem: dict[str, list[Trace]] = {}
        for trace in traces:
            by_problem.setdefault(trace.problem_id, []).append(trace)
        reasons: dict[str, str] = {}  # by trace_id
        for problem_id, candidates in by_problem.items():
            reasons.update(self._objections(candidates, problems[problem_id]))
        return [reasons.get(trace.trace_id) for trace in traces]

    def _objections(self, candidates: list[Trace], problem: Problem) -> Iterable[tuple[str, str]]:
        """The traces of a problem that are rejected, with the reasons."""
        comparisons = (make_rule(self._context) for make_rule in COMPARISONS.values())
        rules = [*self._rules, *(rule for rule in comparisons if rule is not None)]
        num_kept = 0
        for trace in preferred_first(candidates, self._config):
            reason = _first_objection(trace, problem, rules)
            if reason is not None:
                yield trace.trace_id, reason
            elif num_kept == self._config.max_per_problem:
                yield trace.trace_id, SURPLUS
            else:
                num_kept += 1


def _first_objection(trace: Trace, problem: Problem, rules: Sequence[Rule]) -> str | None:
    return next((reason for rule in rules if (reason := rule(trace, problem)) is not None), None)
