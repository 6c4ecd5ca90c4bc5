"""What the rest of an experiment costs: tokens, time and memory, and whether it fits; see `rows`, `memory`, `capacity`, `fit`.

Light: neither torch nor Ray nor transformers is imported, and nothing is started but by `calibrate`.
"""

from mixdistill.planning.calibration import Trial, calibrate
from mixdistill.planning.capacity import Machine
from mixdistill.planning.fit import check_fit, refuse_misfits
from mixdistill.planning.rates import Rates
from mixdistill.planning.rows import PlanRow, plan
from mixdistill.planning.shape import num_parameters

__all__ = ["Machine", "PlanRow", "Rates", "Trial", "calibrate", "check_fit", "num_parameters", "plan", "refuse_misfits"]
