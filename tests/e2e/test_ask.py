"""The model in training answers questions: what it says, and that its training does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mixdistill.config import SamplingConfig, StudentConfig  # noqa: E402
from mixdistill.records import Example, content_id  # noqa: E402
from mixdistill.training import TrainingRun  # noqa: E402
from mixdistill.training.ask import Answer, ask  # noqa: E402

PROMPT = "Compute {question}"
QUESTIONS = ["1 + 1", "a much longer question than all of the others", "2 + 2", "13 + 29"]


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_model)


def answers(model: Any, tokenizer: Any, questions: list[str] = QUESTIONS, at_once: int = 4, **sampling: Any) -> list[Answer]:
    settings = SamplingConfig.model_validate({"max_tokens": 24} | sampling)
    return ask(model, tokenizer, questions, prompt=PROMPT, sampling=settings, at_once=at_once, bfloat16=False)


def test_each_question_gets_its_own_answer_whoever_is_asked_beside_it(model: Any, tiny_tokenizer: Any) -> None:
    alone = [answers(model, tiny_tokenizer, [question])[0] for question in QUESTIONS]
    assert answers(model, tiny_tokenizer) == alone
    assert answers(model, tiny_tokenizer, at_once=3) == alone
    assert len({answer.text for answer in alone}) > 1


def test_a_greedy_answer_is_the_most_likely_token_after_the_chat_template_s_prompt(model: Any, tiny_tokenizer: Any) -> None:
    ids = tiny_tokenizer.apply_chat_template(
        [{"role": "user", "content": "Compute 1 + 1"}], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    for _ in range(3):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    (answer,) = answers(model, tiny_tokenizer, ["1 + 1"], max_tokens=3)
    assert answer.text == tiny_tokenizer.decode(ids[0, -3:], skip_special_tokens=True)
    assert (answer.num_tokens, answer.finish_reason) == (3, "length")


def test_a_model_s_own_generation_config_does_not_change_the_answers(model: Any, tiny_tokenizer: Any) -> None:
    plain = answers(model, tiny_tokenizer)
    model.generation_config.update(repetition_penalty=5.0, do_sample=True, temperature=2.0, top_k=3, max_new_tokens=2)
    assert answers(model, tiny_tokenizer) == plain


def test_an_answer_ends_where_the_model_ends_it(model: Any, tiny_tokenizer: Any) -> None:
    (whole,) = answers(model, tiny_tokenizer, ["1 + 1"])
    third = tiny_tokenizer(whole.text, add_special_tokens=False)["input_ids"][2]
    model.generation_config.eos_token_id = [2, third]
    (ended,) = answers(model, tiny_tokenizer, ["1 + 1"])
    assert ended.finish_reason == "stop"
    assert ended.num_tokens <= 3
    assert whole.text.startswith(ended.text)


def test_an_answer_ends_before_a_stop_string(model: Any, tiny_tokenizer: Any) -> None:
    (whole,) = answers(model, tiny_tokenizer, ["1 + 1"])
    stop = whole.text[4:6]
    (ended,) = answers(model, tiny_tokenizer, ["1 + 1"], stop=[stop])
    assert ended.text == whole.text[: whole.text.index(stop)]
    assert ended.finish_reason == "stop"


def test_sampled_answers_repeat_by_their_seed(model: Any, tiny_tokenizer: Any) -> None:
    one, again, other = (answers(model, tiny_tokenizer, temperature=1.0, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_asking_leaves_mode_and_random_numbers_as_they_were(model: Any, tiny_tokenizer: Any) -> None:
    for training in (True, False):
        model.train(training)
        before = torch.get_rng_state()
        answers(model, tiny_tokenizer, temperature=1.0)
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training is training


def test_a_student_that_is_asked_at_every_step_learns_the_same_as_one_that_is_not(
    tiny_model: Path, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """With dropout, so that a random number taken from the training would show."""
    from safetensors.torch import load_file

    from mixdistill.training.sft import train

    def trained(name: str, **hooks: Any) -> dict[str, Any]:
        recipe = {
            "model": str(tiny_model),
            "method": "lora",
            "lora": {"r": 4, "dropout": 0.3},
            "learning_rate": 1e-2,
            "num_epochs": 1,
            "global_batch_size": 4,
            "per_device_batch_size": 2,
            "max_seq_length": 256,
        }
        run = TrainingRun(name, str(tiny_model), StudentConfig.model_validate(recipe), PROMPT, 0, str(tmp_path / name))
        result = train(run, examples, **hooks)
        return load_file(result.student_dir / "adapter_model.safetensors")

    names = [content_id("example", number) for number in range(12)]
    examples = [
        Example(name, "mix", name, name, "teacher", f"{number} + 1", "So it is.", 9) for number, name in enumerate(names)
    ]
    asked: list[tuple[int, int]] = []

    def ask_on_step(step: int, num_steps: int, model: Any, tokenizer: Any) -> bool:
        asked.append((step, num_steps))
        answers(model, tokenizer, temperature=1.0)
        return False

    undisturbed, disturbed = trained("plain"), trained("asked", on_step=ask_on_step)
    assert asked == [(1, 3), (2, 3), (3, 3)]
    assert all(torch.equal(undisturbed[name], disturbed[name]) for name in undisturbed)
