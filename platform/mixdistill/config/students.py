"""The `students` and `train` sections: which models learn, by which recipe, on which resources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mixdistill.config.base import OPERATIONAL, Config


class LoraSettings(Config):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685); the names are peft.LoraConfig's."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    use_rslora: bool = Field(False, description="Scale by alpha / sqrt(r) (Kalajdzievski 2023, arXiv 2312.03732).")
    use_dora: bool = Field(False, description="Learn magnitude and direction apart (Liu et al. 2024, arXiv 2402.09353).")


class RecipeConfig(Config):
    """The hyper-parameters of one fine-tune; the names are trl.SFTConfig's where it has them."""

    learning_rate: float = Field(1e-5, gt=0)
    num_epochs: float = Field(2.0, gt=0)
    num_steps: int | None = Field(None, ge=1, description="Optimiser steps, whatever the number of examples; None: num_epochs.")
    global_batch_size: int = Field(16, ge=1, description="Examples (packed: rows) per optimiser step, over all workers.")
    per_device_batch_size: Annotated[int, OPERATIONAL] = Field(1, ge=1, description="Examples per forward pass.")
    max_seq_length: int = Field(16384, ge=16, description="Prompt plus response tokens of one example, and of a packed row.")
    too_long: Literal["drop", "cut"] = Field(
        "drop", description="Longer examples are left out, or lose the end of their response; counted either way."
    )
    packing: bool = Field(False, description="Several examples per row, which do not see each other.")
    order: Literal["shuffled", "short_first", "long_first"] = Field(
        "shuffled", description="Of the examples in each pass: a curriculum by their tokens, or none."
    )
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    gradient_checkpointing: Annotated[bool, OPERATIONAL] = False
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="auto: flash_attention_2 on a GPU where it is installed, else sdpa."
    )
    liger_kernel: bool | None = Field(None, description="Fused kernels for GPUs; None: where they are installed.")

    @model_validator(mode="after")
    def _curriculum_unpacked(self) -> RecipeConfig:
        if self.packing and self.order != "shuffled":
            raise ValueError(f"packing fills rows with examples of any length, so order: {self.order} says nothing; drop one")
        return self


class StudentConfig(RecipeConfig):
    """A model that learns, and its recipe."""

    model: str = Field(description="hub-id, folder, object-store URL or bundled:NAME.")
    revision: str | None = None
    method: Literal["lora", "qlora", "full"] = Field("full", description="qlora: LoRA on a base in 4 bits; needs a GPU.")
    lora: LoraSettings = LoraSettings()
    merge: bool = Field(False, description="Write the adapter merged into its base beside it, as an ordinary model.")

    @model_validator(mode="after")
    def _something_to_merge(self) -> StudentConfig:
        if self.merge and self.method == "full":
            raise ValueError("merge: true needs method: lora or qlora; full fine-tuning has no adapter")
        return self

    @property
    def is_adapter(self) -> bool:
        """Whether an engine loads this student as an adapter of its base: vLLM takes no DoRA adapter."""
        return self.method != "full" and not self.lora.use_dora

    @property
    def is_merged(self) -> bool:
        """Whether the adapter is also written merged into its base: where that is wanted, or engines take it so alone."""
        return self.method != "full" and (self.merge or self.lora.use_dora)


class TrainConfig(Config):
    """How the students x mixes x seeds matrix is trained."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    per_mix: dict[str, dict[str, object]] = Field(
        default_factory=dict, description="Recipe fields that differ for one mix, as in the paper's own training files."
    )
    num_workers: int = Field(1, ge=1, description="Data-parallel workers per student.")
    parallel: Literal["ddp", "fsdp", "deepspeed"] = Field(
        "ddp", description="Every worker holds the whole model, or a share of it: FSDP2, DeepSpeed ZeRO-3."
    )
    cpus_per_worker: Annotated[float, OPERATIONAL] = Field(1.0, gt=0)
    gpus_per_worker: Annotated[float, OPERATIONAL] = Field(0.0, ge=0)
    accelerator_type: Annotated[str | None, OPERATIONAL] = None
    max_parallel: Annotated[int | None, OPERATIONAL] = Field(None, ge=1, description="Students at once; None: as fit.")
    checkpoints_per_run: Annotated[int, OPERATIONAL] = Field(4, ge=1, description="Points to resume from, evenly spaced.")
    validations_per_run: Annotated[int, OPERATIONAL] = Field(
        4, ge=0, description="Times that the loss on each source's held-out traces is taken, evenly spaced, beside the start."
    )
    max_failures: Annotated[int, OPERATIONAL] = Field(2, ge=0, description="Restarts of one run before it is failed.")
    report_to: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...], OPERATIONAL] = Field(
        ("tensorboard",), description="Where loss and learning rate can be watched; TensorBoard's files stand in the artifact."
    )
    memory_gib_per_worker: Annotated[float | None, OPERATIONAL] = Field(
        None, gt=0, description="What one worker's device holds; None: what its accelerator type or this machine has."
    )

    @model_validator(mode="after")
    def _distinct_seeds(self) -> TrainConfig:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        return self
