"""The training stage's function against plain trl on the same examples, and what packing leaves of padding.

Both fine-tunes of a comparison see each example once, in batches of the same size, from the same weights and in the same
precision; each runs in a process of its own. Seconds are those of the training loop.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from run import Row, run_script

NUM_STEPS = 10
BATCH = 8

_COMMON = """
import json, os, random, sys, tempfile, time
from pathlib import Path
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import reasoning_gym
from mixdistill.models import fetch_model
MODEL = "bundled:smollm2-135m-instruct"
STEPS, BATCH = int(sys.argv[2]), int(sys.argv[3])
dice = random.Random(7)
problems = list(reasoning_gym.create_dataset("chain_sum", seed=7, size=STEPS * BATCH))
def response(row, lines):
    working = "".join(f"Step {i}: I add the next number and check the sum again. " for i in range(lines))
    return f"{working}The answer is {row['answer']}."
"""

_OURS = """
from mixdistill.config import StudentConfig
from mixdistill.records import Example
from mixdistill.training import TrainingRun
from mixdistill.training.sft import train
def fine_tune(responses, **recipe):
    examples = [
        Example(str(i), "m", str(i), str(i), "t", row["question"], text, 9)
        for i, (row, text) in enumerate(zip(problems, responses, strict=True))
    ]
    recipe = StudentConfig.model_validate(
        {"model": MODEL, "num_epochs": 1, "max_seq_length": 1024, "learning_rate": 1e-5, "global_batch_size": BATCH,
         "per_device_batch_size": BATCH} | recipe
    )
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun("bench", str(fetch_model(MODEL)), recipe, "{question}", 0, folder, checkpoints_per_run=0)
        return train(run, examples)
"""

_STAGE = """
result = fine_tune([response(row, dice.randint(1, 8)) for row in problems])
Path(sys.argv[1]).write_text(json.dumps([result.num_steps, result.seconds, result.num_input_tokens]))
"""

_PLAIN = """
import datasets
from trl import SFTConfig, SFTTrainer
rows = datasets.Dataset.from_list([
    {"prompt": [{"role": "user", "content": row["question"]}],
     "completion": [{"role": "assistant", "content": response(row, dice.randint(1, 8))}]}
    for row in problems
])
with tempfile.TemporaryDirectory() as folder:
    trainer = SFTTrainer(
        model=str(fetch_model(MODEL)),
        args=SFTConfig(
            output_dir=folder, num_train_epochs=1, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
            learning_rate=1e-5, lr_scheduler_type="cosine", warmup_steps=2, max_length=1024, bf16=True, use_cpu=USE_CPU,
            gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
            model_init_kwargs={"dtype": "float32"}, dataloader_pin_memory=not USE_CPU,
        ),
        train_dataset=rows,
    )
    started = time.perf_counter()
    trainer.train()
    Path(sys.argv[1]).write_text(json.dumps([trainer.state.global_step, time.perf_counter() - started, 0]))
"""

_USE_CPU = """
import torch
USE_CPU = not torch.cuda.is_available()
"""


def train_throughput() -> Row:
    """Tokens a second of a full fine-tune in bfloat16 over those of trl's SFTTrainer."""
    our_steps, ours_s, num_tokens = _measure(_OURS + _STAGE, NUM_STEPS)
    plain_steps, plain_s, _ = _measure(_USE_CPU + _PLAIN, NUM_STEPS)
    assert our_steps == plain_steps == NUM_STEPS
    return Row(
        "train_throughput",
        plain_s / ours_s,
        "tokens/s over trl's",
        0.97,
        f"{num_tokens / ours_s:,.0f} against {num_tokens / plain_s:,.0f} tokens/s, {NUM_STEPS} steps of {BATCH} examples, "
        f"{num_tokens:,} tokens, SmolLM2-135M, full",
    )


_PACKED_AND_PADDED = """
responses = [response(row, min(40, int(dice.lognormvariate(1.6, 1.0)))) for row in problems]
padded = fine_tune(responses)
packed = fine_tune(responses, packing=True, global_batch_size=2, per_device_batch_size=1)
def side(result):
    return [result.num_input_tokens, result.seconds, result.padding_share]
Path(sys.argv[1]).write_text(json.dumps([side(packed), side(padded)]))
"""

PACKED_LENGTH = 16384  # the paper's
NUM_TRACES = 10_000


def packing_efficiency() -> Row:
    """How full rows of 16,384 tokens are with traces of which a fifth are long; and what packing gains in a fine-tune."""
    import datasets

    from mixdistill.training.packing import pack

    datasets.disable_progress_bars()
    dice = random.Random(7)  # log-normal: a median of 350 tokens for short reasoning, 4,000 for long
    medians = [4000 if dice.random() < 0.2 else 350 for _ in range(NUM_TRACES)]
    lengths = [min(PACKED_LENGTH, max(40, int(median * dice.lognormvariate(0, 0.8)))) for median in medians]
    rows = pack(
        datasets.Dataset.from_dict({"input_ids": [[0] * n for n in lengths], "labels": [[0] * n for n in lengths]}),
        PACKED_LENGTH,
    )
    filled = sum(lengths) / (len(rows) * PACKED_LENGTH)
    (packed_tokens, packed_s, _), (padded_tokens, padded_s, padding) = _measure(_OURS + _PACKED_AND_PADDED, 5)
    speedup = (packed_tokens / packed_s) / (padded_tokens / padded_s)
    return Row(
        "packing_efficiency",
        filled,
        "share of tokens that are no padding",
        0.97,
        f"{NUM_TRACES:,} traces (log-normal, a fifth long) in {len(rows):,} rows of {PACKED_LENGTH:,}; packing_speedup "
        f"{speedup:.2f} in tokens/s over padded batches of {BATCH} with {padding:.0%} padding, rows of 1,024, SmolLM2-135M",
    )


def _measure(script: str, num_steps: int) -> list:  # type: ignore[type-arg]
    """What the script writes to its first argument, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"  # stdout belongs to the libraries
        run_script(_COMMON + script, str(result), str(num_steps), str(BATCH))
        return json.loads(result.read_text())  # type: ignore[no-any-return]
