"""The engine of the generation stage against vLLM's own `LLM.generate`: same model, prompts, settings and seeds.

Both decode the same requests after a warm-up, each in its own process, since two engines in one would share its memory.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from run import Row, run_script

NUM_REQUESTS = 128
STAGE_REQUESTS = (256, 768)  # the longer run less the shorter one leaves neither a start nor a tail

_COMMON = """
import json, sys, time
from pathlib import Path
import reasoning_gym
from mixdistill.config import SamplingConfig, VllmEngineConfig
from mixdistill.models import fetch_model
from mixdistill.prompts import PROMPTS, student_messages
problems = reasoning_gym.create_dataset("chain_sum", seed=7, size=int(sys.argv[2]))
chats = [student_messages(row["question"], prompt=PROMPTS["paper"]) for row in problems]
MODEL = "bundled:smollm2-135m-instruct"
"""

_OURS = """
import asyncio
from mixdistill.engines import GenerationRequest, create_engine
async def main():
    engine = create_engine(VllmEngineConfig(dtype="bfloat16", max_model_len=1024, concurrency=128), model=MODEL)
    async def decode(tag):
        sampling = SamplingConfig(temperature=0.8, max_tokens=64)
        requests = [GenerationRequest(f"{tag}-{i}", chat, sampling, i) for i, chat in enumerate(chats)]
        started = time.perf_counter()
        done = await asyncio.gather(*map(engine.generate, requests))
        return sum(one.num_tokens for one in done), time.perf_counter() - started
    await decode("warm-up")
    Path(sys.argv[1]).write_text(json.dumps(await decode("timed")))
    await engine.close()
if __name__ == "__main__":
    asyncio.run(main())
"""

_PLAIN = """
import os
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "2"
if (os.cpu_count() or 1) <= 2:
    os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
from vllm import LLM, SamplingParams
from vllm.platforms import current_platform
if __name__ == "__main__":
    cpu = dict(enforce_eager=True, enable_chunked_prefill=False, block_size=32) if current_platform.is_cpu() else {}
    llm = LLM(str(fetch_model(MODEL)), dtype="bfloat16", max_model_len=1024, max_num_seqs=128, generation_config="vllm", **cpu)
    def decode():
        params = [SamplingParams(temperature=0.8, max_tokens=64, seed=i) for i in range(len(chats))]
        started = time.perf_counter()
        done = llm.chat(chats, params, use_tqdm=False)
        return sum(len(one.outputs[0].token_ids) for one in done), time.perf_counter() - started
    decode()
    Path(sys.argv[1]).write_text(json.dumps(decode()))
"""


def generation_throughput() -> Row:
    """Tokens a second of our engine over those of `LLM.chat`."""
    ours, plain = (tokens / seconds for tokens, seconds in (_decode(script, NUM_REQUESTS) for script in (_OURS, _PLAIN)))
    return Row(
        "generation_throughput",
        ours / plain,
        "tokens/s over LLM.chat's",
        0.95,
        f"{ours:,.0f} against {plain:,.0f} tokens/s, {NUM_REQUESTS} requests of at most 64 tokens, SmolLM2-135M",
    )


_STAGE = """
from mixdistill.config import load_experiment
from mixdistill.pipeline import run
from mixdistill.stages.progress import NoProgress
class Clock(NoProgress):
    told = []
    def update(self, label, done, total, note=""):
        if label.startswith("generate") and note != "starting the engine":
            self.told.append(time.perf_counter())  # once a second, from the engine's start to the last row
if __name__ == "__main__":
    options = {"dataset": "chain_sum", "seed": 7, "size": len(chats)}
    document = {
        "name": "throughput", "store": sys.argv[1] + ".store",
        "engine": {"kind": "vllm", "dtype": "bfloat16", "max_model_len": 1024, "concurrency": 128},
        "problems": {"source": "reasoning_gym", "options": options},
        "teachers": {"t": {"model": MODEL, "sampling": {"temperature": 0.8, "max_tokens": 64, "max_samples": 1}}},
        "mixes": {"m": {"t": 1.0}}, "students": {"s": {"model": MODEL}},
        "evaluate": {"benchmarks": {"b": {"source": "reasoning_gym", "options": options | {"seed": 90000}}}},
    }
    Path(sys.argv[1] + ".yaml").write_text(json.dumps(document))
    graph = run(load_experiment(sys.argv[1] + ".yaml"), until="generate", progress=Clock()).graph
    tokens = graph.artifact(graph.of("generate")[0]).manifest().figures["num_tokens"]
    Path(sys.argv[1]).write_text(json.dumps([tokens, Clock.told[-1] - Clock.told[0]]))
"""


def generation_stage() -> Row:
    """Tokens a second of the whole stage (Ray Data, notes, journal, grading) over those of `LLM.chat`, in the steady state."""
    ours, plain = (_steady_tokens_per_second(script) for script in (_STAGE, _PLAIN))
    return Row(
        "generation_stage",
        ours / plain,
        "tokens/s over LLM.chat's",
        0.95,
        f"{ours:,.0f} against {plain:,.0f} tokens/s: {STAGE_REQUESTS[1]} requests less {STAGE_REQUESTS[0]}",
    )


def _steady_tokens_per_second(script: str) -> float:
    """Of the requests by which the longer run exceeds the shorter one, so that the start and the tail cancel out."""
    (few, few_s), (many, many_s) = (_decode(script, num_requests) for num_requests in STAGE_REQUESTS)
    return (many - few) / (many_s - few_s)


def _decode(script: str, num_requests: int) -> tuple[int, float]:
    """The tokens that the script's side decoded, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "decoded"  # stdout belongs to vLLM
        run_script(_COMMON + script, str(result), str(num_requests))
        tokens, seconds = json.loads(result.read_text())
        return tokens, seconds
