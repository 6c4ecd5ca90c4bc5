"""The service on a real Ray Serve, with a recording in place of a model: start, answer, bound its queue, stop."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import psutil
import pytest

from mixdistill.config import Experiment
from mixdistill.pipeline import TrainedStudent
from mixdistill.serving import app
from mixdistill.serving.local import LocalService
from mixdistill.serving.settings import ServingSettings

pytestmark = pytest.mark.slow

ROWS = [{"question": "What is 6 * 7?", "response": "It is \\boxed{42}", "num_tokens": 5}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("serve")
    recording = folder / "recording.jsonl"
    recording.write_text("\n".join(map(json.dumps, ROWS)))
    weights = folder / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    experiment = Experiment.model_validate(
        {
            "name": "trial",
            "store": str(folder / "store"),
            "engine": {"kind": "replay", "path": str(recording), "latency_s": 1.0, "concurrency": 2},
            "problems": {"source": "file", "path": "p.jsonl"},
            "teachers": {"short": {"model": "org/teacher"}},
            "mixes": {"short": {"short": 1.0}},
            "students": {"tiny": {"model": "org/tiny"}},
            "evaluate": {"benchmarks": {"held_out": {"source": "file", "path": "h.jsonl"}}},
        }
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    trained = [TrainedStudent("tiny-short", "org/tiny", None, False, str(weights))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "trained_students", lambda _: trained)
        settings = ServingSettings(config="unused", max_queued_requests=2)
        with LocalService(experiment, settings, host="127.0.0.1", port=port) as names:
            assert names == ["tiny", "tiny-short"]
            yield f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def test_it_is_ready_when_the_context_is_entered(url):
    assert get(f"{url}/healthz") == get(f"{url}/readyz") == {"status": "ok"}


def test_the_openai_client_works_against_it(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["tiny", "tiny-short"]
    messages = [{"role": "user", "content": "What is 6 * 7?"}]
    answer = client.chat.completions.create(model="tiny-short", messages=messages)
    assert answer.choices[0].message.content == ROWS[0]["response"]
    assert answer.usage.completion_tokens == 5
    stream = client.chat.completions.create(model="tiny", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ROWS[0]["response"]
    with pytest.raises(openai.NotFoundError, match="tiny-short"):
        client.chat.completions.create(model="other", messages=messages)
    with pytest.raises(openai.BadRequestError, match="recording"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "unheard of"}])


def test_more_than_an_engine_can_hold_is_answered_429_and_the_rest_is_served(url):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "What is 6 * 7?"}]}
    statuses: list[int] = []

    def ask() -> None:
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                statuses.append(answer.status)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 4  # two in progress, two waiting


def test_answers_are_verified(url):
    request = urllib.request.Request(
        f"{url}/v1/grade",
        json.dumps({"items": [{"answer": "42", "response": "\\boxed{42.0}"}, {"answer": "42", "response": "42"}]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        results = json.load(answer)["results"]
    assert [result["verdict"] for result in results] == [True, False]


def test_no_other_machine_reaches_it(url):
    port = int(url.rpartition(":")[2])
    listening = {item.laddr.ip for item in psutil.net_connections("tcp") if item.status == "LISTEN" and item.laddr.port == port}
    assert listening == {"127.0.0.1"}
