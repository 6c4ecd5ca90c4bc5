"""Mixing: selected traces of several teachers -> which of them are the training examples of one student.

`draw_mix` draws one mix by one of two protocols, `controlled` (mixes of one experiment hold the same problems) or `paper` (each
mix by itself, as published), at exact fractions and within a budget. `validation_rows` names the traces of problems that no
mix holds. Both are pure and seeded, whatever the order the traces come in, and see columns only: 24 bytes a trace and
about 90 while they work, so that a million traces are mixed in the memory of one process, at a cost that grows linearly (but
for sorting).

Which traces are good enough is `selection`'s question, texts and files are the stage's, tokens and chat templates `training`'s.
"""

from mixdistill.mixing.columns import Draw, Problems, Source
from mixdistill.mixing.draw import draw_mix
from mixdistill.mixing.quotas import largest_remainder
from mixdistill.mixing.validation import held_out, validation_rows

__all__ = ["Draw", "Problems", "Source", "draw_mix", "held_out", "largest_remainder", "validation_rows"]
