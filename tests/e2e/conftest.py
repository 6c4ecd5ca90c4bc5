"""What several tests of real training share."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

TwoWorkers = Callable[[str, Any], tuple[list[int], list[str]]]


@pytest.fixture(scope="session")
def two_workers() -> TwoWorkers:
    """Run a script as a process group of two, with the payload as JSON in its argument: exit codes, and what each printed."""

    def run(script: str, payload: Any) -> tuple[list[int], list[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", script, json.dumps(payload)],
                env={
                    **os.environ,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": "2",
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    "OMP_NUM_THREADS": "1",
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        printed = [worker.communicate(timeout=300)[0] for worker in workers]
        return [worker.returncode for worker in workers], printed

    return run
