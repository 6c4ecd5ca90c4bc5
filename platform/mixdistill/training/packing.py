"""Several examples in one row that do not see each other, and the proof that this model keeps them apart.

In: rows of `input_ids` and `labels`. Out of `pack`: fewer rows, with a column `seq_lengths` (tokens of each example in the
row). Out of a collator: a batch without an attention mask, whose `position_ids` begin again at 0 with every example. From
these, transformers builds a block-diagonal mask for sdpa and eager (`masking_utils.find_packed_sequence_indices`) and
FlashAttention its sequence borders. A model with recurrent or convolution layers, or an attention that does not look at
`position_ids`, would let an example see the one before it without a word: `PackingCheck` refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
import transformers
from trl.data_utils import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from mixdistill.errors import ConfigError
from mixdistill.training.run import TrainingRun
from mixdistill.training.tokens import IGNORED

_PACKED_AT_ONCE: Final = 10_000
"""Examples that share rows. Arrow's 32-bit list offsets end at 2^31 tokens: 10,000 examples of 200,000 tokens."""

_TOLERANCE: Final = {"float32": 1e-3, "bfloat16": 0.1}
"""How far the logits of one token may be off, as a share of their size, when a sequence stands in another row: other shapes
take other kernels, which round in another order. The last bit of a bfloat16 is 0.4 %, and layers add up."""

_NEIGHBOUR_TOLERANCE_SHARE: Final = 0.1
"""What may come from another neighbour in a row of the same shape is a tenth of that: nothing is expected. (Experts of a
mixture get batches of other sizes, and so other rounding.)"""

_CHECK_LENGTHS: Final = (29, 23)  # two sequences, neither of a size that fills a kernel's tile


def pack(rows: Any, max_seq_length: int) -> Any:
    """Fill rows of at most `max_seq_length` tokens with whole examples (best fit decreasing).

    Args:
        rows: a `datasets.Dataset` with `input_ids` and `labels`, none longer than `max_seq_length`.
        max_seq_length: tokens of a row.
    """
    return pack_dataset(rows, max_seq_length, strategy="bfd", map_kwargs={"batch_size": _PACKED_AT_ONCE})


def packed_collator(pad_token_id: int, attention: str) -> Any:
    """What makes a batch of packed rows for this attention.

    FlashAttention wants all rows of a batch in one line, without padding, and knows the borders from `position_ids`; other
    attentions take one line for each row, since their work grows with the square of its length.
    """
    if attention.startswith("flash_attention"):
        return DataCollatorForLanguageModeling(pad_token_id=pad_token_id, padding_free=True)
    return PackedRows(pad_token_id)


@dataclass(frozen=True)
class PackedRows:
    """Collates packed rows to `input_ids`, `labels` and `position_ids`, each [rows, tokens of the longest row].

    Padding is a sequence of its own. The first label of an example is ignored, whatever it was: it stands where the last
    token of the example before it would predict it.
    """

    pad_token_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": torch.full((len(rows), width), self.pad_token_id),
            "labels": torch.full((len(rows), width), IGNORED),
            "position_ids": torch.zeros((len(rows), width), dtype=torch.long),
        }
        for index, row in enumerate(rows):
            used = len(row["input_ids"])
            batch["input_ids"][index, :used] = torch.as_tensor(row["input_ids"])
            batch["labels"][index, :used] = torch.as_tensor(row["labels"])
            lengths = [*row["seq_lengths"], width - used]
            batch["position_ids"][index] = torch.cat([torch.arange(length) for length in lengths])
        batch["labels"][batch["position_ids"] == 0] = IGNORED
        return batch


class PackingCheck(transformers.TrainerCallback):
    """Before the first step, asks the model as it will be trained whether it keeps the examples of a row apart."""

    def __init__(self, trainer: Any, run: TrainingRun, token_ids: list[int]) -> None:
        """Take the trainer and the ids that the check's sequences are drawn from (special ones may have other rules)."""
        self._trainer = trainer
        self._run = run
        self._token_ids = torch.tensor(sorted(set(token_ids)))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        check_packing(self._trainer.model_wrapped, self._trainer.data_collator, self._token_ids, args.device, self._run)


def check_packing(model: Any, collator: Any, token_ids: torch.Tensor, device: Any, run: TrainingRun) -> None:
    """Compare what the model predicts for two random sequences in one row with what it predicts for each by itself.

    Two things must hold: a sequence's logits are the same, within rounding, alone and in the row; and they do not change
    at all when its neighbour is exchanged for another of the same length.

    Args:
        model: as it is trained, wrapped and all; every worker calls it equally often.
        collator: what makes the batches of the training.
        token_ids: [n], what the sequences are drawn from.
        device: of the model.
        run: gives the dtype, and names for the message.

    Raises:
        ConfigError: it does not keep them apart.
    """
    draw = torch.Generator().manual_seed(0)  # the global random state stays as it is

    def sequence(length: int) -> list[int]:
        chosen = torch.randint(len(token_ids), (length,), generator=draw)
        return [int(token_id) for token_id in token_ids[chosen]]

    first, second = (sequence(length) for length in _CHECK_LENGTHS)
    other = sequence(len(first))

    def packed(*sequences: list[int]) -> torch.Tensor:
        ids = [token_id for one in sequences for token_id in one]
        batch = collator([{"input_ids": ids, "labels": ids, "seq_lengths": [len(one) for one in sequences]}])
        return logits(batch)

    def apart(ids: list[int]) -> torch.Tensor:
        return logits({"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)})

    def logits(batch: dict[str, Any]) -> torch.Tensor:
        inputs = {
            name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items() if name != "labels"
        }
        return model(**inputs, use_cache=False).logits[0].float()  # type: ignore[no-any-return]

    was_training = model.training
    model.eval()
    with torch.no_grad():
        row = packed(first, second)
        alone = torch.cat([apart(first), apart(second)])
        beside_another = packed(other, second)
    model.train(was_training)

    tolerance = _TOLERANCE[run.recipe.dtype]
    in_row = _relative_difference(row, alone)
    by_neighbour = _relative_difference(row[len(first) :], beside_another[len(first) :])
    # written so that a NaN is refused too
    if not (in_row <= tolerance and by_neighbour <= tolerance * _NEIGHBOUR_TOLERANCE_SHARE):
        raise ConfigError(
            f"{run.run_name}: {run.recipe.model} does not keep packed examples apart with this attention: logits differ by "
            f"{in_row:.2g} of their size between an example in a packed row and the same by itself (at most {tolerance:g} is "
            f"rounding), and by {by_neighbour:.2g} when its neighbour is exchanged (expected 0); set packing: false"
        )


def _relative_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference of a token's logits, relative to their spread. In: [tokens, vocabulary] twice."""
    spread = (other - other.mean(dim=-1, keepdim=True)).norm(dim=-1)
    return float(((one - other).norm(dim=-1) / spread).max())
