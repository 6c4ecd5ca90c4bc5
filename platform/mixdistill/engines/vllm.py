"""vLLM's asynchronous engine inside the calling process; the same code on CPU and GPU.

`ray.data.llm` would be the ready-made way, but it hides the finish reason, cuts n > 1 to one sample and cannot sample
a problem again until it is solved without a new engine start (40 s on a small CPU) for every round. So the engine is
held here, and Ray Data spreads the actors that hold it (`stages.engine_pool`). Continuous batching across requests is
vLLM's own; the prompt shared by few-shot examples is computed once (prefix caching).
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixdistill.config import VllmEngineConfig
from mixdistill.config.base import nearest
from mixdistill.engines.base import Completion, GenerationRequest
from mixdistill.errors import ConfigError, EngineDiedError, MissingDependencyError, StageError
from mixdistill.models import fetch_model
from mixdistill.prompts import prompt_token_ids


class VllmEngine:
    """One vLLM engine with a base model and, optionally, LoRA adapters on it."""

    def __init__(self, config: VllmEngineConfig, *, model: str, revision: str | None, adapters: Mapping[str, Path]) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise MissingDependencyError("the engine `vllm` needs vLLM; install the extra `cpu` or `gpu` of mixdistill")
        # Read by vLLM on import, so they are set before it.
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(config.kv_cache_gib))
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if (os.cpu_count() or 1) <= 2:
            # vLLM keeps one core for its scheduler. Of two that is too much: decoding on both is 1.5 times as fast.
            os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
        import vllm
        from vllm.engine.async_llm_engine import AsyncLLMEngine
        from vllm.exceptions import VLLMClientError
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
        from vllm.v1.engine.exceptions import EngineDeadError

        kwargs: dict[str, Any] = {
            "model": str(fetch_model(model, revision)),
            "dtype": config.dtype,
            "quantization": config.quantization,
            "max_model_len": config.max_model_len,
            "tensor_parallel_size": config.tensor_parallel_size,
            "pipeline_parallel_size": config.pipeline_parallel_size,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "max_num_seqs": config.concurrency,
            "enable_prefix_caching": True,
            "generation_config": "vllm",  # sampling comes from the request alone, not from the model's defaults
            "enable_log_requests": False,
            "disable_log_stats": True,
        }
        if current_platform.is_cpu():
            # Compiling costs a CPU engine minutes at start; "mp" is the executor that vLLM supports there. A prompt whose
            # prefill is cut into chunks kills a CPU engine when the request has a seed ("CPU Generator does not use
            # offset", vLLM 0.29 to 0.32, gpu_model_runner._bookkeeping_sync), so chunking is off until that is mended.
            kwargs |= {
                "enforce_eager": True,
                "distributed_executor_backend": "mp",
                "enable_chunked_prefill": False,
                "block_size": 32,  # by default 128 tokens, and a prefix shorter than a block is never shared
            }
        if adapters:
            settings = [_adapter_config(folder) for folder in adapters.values()]
            kwargs |= {
                "enable_lora": True,
                # One slot more than there are adapters: on a CPU, a request of the base model in a batch with others gets the
                # adapter of the last slot (index -1 in vllm.lora.ops.torch_ops, seen with vLLM 0.29), which so stays zero.
                "max_loras": len(adapters) + 1,
                "max_lora_rank": max(_served_rank(adapter["r"]) for adapter in settings),
                # Every wrapped matrix costs time at every token, so only those that some adapter changes are wrapped.
                "lora_target_modules": sorted({name for adapter in settings for name in adapter["target_modules"]}),
            }
        self._adapters = {
            name: LoRARequest(name, number, str(folder)) for number, (name, folder) in enumerate(sorted(adapters.items()), 1)
        }
        self._vllm: Any = vllm
        self._engine_dead_error = EngineDeadError
        self._refusals = (ValueError, VLLMClientError)
        try:
            self._engine = AsyncLLMEngine.from_engine_args(vllm.AsyncEngineArgs(**(kwargs | config.engine_kwargs)))
        except (ValueError, RuntimeError, TypeError) as error:
            raise StageError(f"vLLM could not start with {model}: {error}") from error
        self._max_model_len: int = self._engine.model_config.max_model_len
        self._reasoning_parser = _reasoning_parser(config.reasoning_parser, self._engine.get_tokenizer())

    async def generate(self, request: GenerationRequest) -> Completion:
        """Generate one response; see `Engine`."""
        token_ids = prompt_token_ids(self._engine.get_tokenizer(), request.messages)
        if len(token_ids) >= self._max_model_len:
            return Completion.without_response(
                "prompt_too_long",
                f"the prompt has {len(token_ids)} tokens, and the model's context ends at {self._max_model_len}",
                len(token_ids),
            )
        final = None
        try:
            async for output in self._engine.generate(
                self._vllm.TokensPrompt(prompt_token_ids=token_ids),
                self._params(request),
                request.request_id,
                lora_request=self._lora(request.adapter),
            ):
                final = output
        except self._refusals as error:  # a parameter out of bounds
            return Completion.without_response("refused", str(error), len(token_ids))
        except self._engine_dead_error as error:
            raise EngineDiedError(f"the vLLM engine died: {error}") from error
        assert final is not None
        generated = final.outputs[0]
        reasoning, text = self._told_apart(generated.text)
        return Completion(
            text=text,
            reasoning=reasoning,
            finish_reason="length" if generated.finish_reason == "length" else "stop",
            num_prompt_tokens=len(token_ids),
            num_tokens=len(generated.token_ids),
        )

    async def close(self) -> None:
        """Stop the engine's processes."""
        self._engine.shutdown()

    def _params(self, request: GenerationRequest) -> Any:
        sampling = request.sampling
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            seed=request.seed if sampling.temperature > 0 else None,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
            skip_special_tokens=self._reasoning_parser is None,  # for some models, the marks of the reasoning are such tokens
        )

    def _told_apart(self, text: str) -> tuple[str | None, str]:
        """The model's reasoning, where a parser is configured, and its answer; reasoning that never ended has no answer."""
        if self._reasoning_parser is None:
            return None, text
        reasoning, answer = self._reasoning_parser.extract_reasoning(text, None)
        return (reasoning or "").strip() or None, (answer or "").strip()

    def _lora(self, adapter: str | None) -> Any:
        if adapter is None:
            return None
        if adapter not in self._adapters:
            raise ConfigError(f"the engine was started without the adapter {adapter!r} (it has: {', '.join(self._adapters)})")
        return self._adapters[adapter]


def _reasoning_parser(name: str | None, tokenizer: Any) -> Any:
    """vLLM's own parser of that name, or None."""
    if name is None:
        return None
    from vllm.reasoning import ReasoningParserManager

    known = ReasoningParserManager.list_registered()
    if name not in known:
        raise ConfigError(f"vLLM has no reasoning parser {name!r}{nearest(name, known)} (it has: {', '.join(known)})")
    try:
        return ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    except (RuntimeError, ValueError) as error:  # the tokenizer lacks the marks that the parser looks for
        raise ConfigError(f"the reasoning parser {name!r} does not fit the model: {error}; choose another, or none") from error


def _adapter_config(folder: Path) -> dict[str, Any]:
    """peft's adapter_config.json; `target_modules` is a list of module names there."""
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return config


def _served_rank(rank: int) -> int:
    """The smallest rank that vLLM has kernels for and that holds this one."""
    for served in (8, 16, 32, 64, 128, 256, 320, 512):  # vllm.config.lora.MaxLoRARanks, from 8 on
        if rank <= served:
            return served
    raise ConfigError(f"an adapter has rank {rank}; vLLM serves ranks up to 512")
