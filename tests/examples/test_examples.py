"""Every example runs, under every runtime there is, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..system.conftest import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTS: dict[str, list[str]] = {
    "01_hello.py": [r"greeting world from \S+", "Hello, world!"],
    "02_images.py": [r"3\.0 MB, exactly 3,000,000 bytes"],
    "03_parallel_map.py": [
        "longest way to 1 below 100: 118 steps, from 97",
        r"areas: \[20, 12\]",
    ],
    "04_streaming.py": ["ONE", "WORD", "AT", "A", "TIME"],
    "05_errors_retries_timeouts.py": [
        "error: division by zero",
        "retry: passed at try 2",
        "timeout: .+",
    ],
    "06_async.py": [r"3² \+ 4² = 25", "sum of 5 squares = 30", "collected later: 144"],
    "09_gpu.py": [
        r"it ran on GPU 0: .+|it can't run here: .* asks for .* and H100:1 or A100-80GB:1 or ANY:1, "
        r"and no machine has that: \S+ has .* and no GPU"
    ],
    "07_class.py": [
        "loading words that end in s",
        r"\['cats', 'dogs'\], loaded once: True",
        r"\['cat'\] by a container of its own",
        "left after [23] inputs",
    ],
    "10_volume.py": [
        "read by another container: an old silent pond",
        r"the volume holds: \['code', 'code/10_volume.py', 'haiku.txt'\]",
    ],
    "08_batching_concurrency.py": [
        r"6 waits of 0\.5 s took less than 2 s: True",
        r"lengths: \[1, 2, 3, 4, 5, 6, 7, 8\]",
        "largest batch: 4",
    ],
    "12_dict_queue.py": ["visited 4 pages", "news: 2 links", "left in the queue: 0"],
    "11_secrets.py": [
        "'a letter' signed with 6 letters, shown: yes",
        r"ada:\*{4} in the north sends 'hello'",
        r"ada:\*{18} in the north sends 'hello again'",
    ],
    "13_fastapi.py": [r'http\S+ says \{"doubled":42\}', r'http\S+ says \{"tea":3\}'],
    "14_starlette.py": ["Hello, Ada!", "Bonjour, Ada!"],
    "15_flask.py": ["CAN YOU HEAR ME"],
    "16_websocket_chat.py": ["Ada: anybody there\\?", "Grace: I hear you"],
    "18_code_interpreter.py": [
        "'print\\(x \\* 7\\)': 42",
        "'print\\(y\\)': .*NameError: name 'y' is not defined",
        "'print\\(sum\\(range\\(x\\)\\)\\)': 15",
        "ended with 137",
    ],
    "19_sandbox_files.py": [
        "sum: 42",
        r"rw-r--r--   2 sum\.txt",
        "restored: 42|no snapshot: .* need Docker: .*",
        "ended with 137",
    ],
    "20_serving.py": [
        "plain: 2 stars",
        "keen: 3 stars",
        r"stars: \[1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5\]",
        "some ran together: True",
    ],
    "21_embeddings.py": [
        r"0\.[3-9]\d  (Sourdough|Knead) .+",
        r"-?0\.[01]\d  (The goalkeeper|Interest rates) .+",
    ],
    "22_image_pipeline.py": ["sheet of 640 × 240 pixels", "it is a PNG: True"],
    "23_job_queue.py": [r"ticket fc-\w+: \[97, 1000000007\]"],
    "24_data_pipeline.py": [r"\d+-\d+-\d+ \{'coffee': \d+, 'tea': \d+\}"],
    "25_gallery.py": [
        "fetching birds, tea",
        "fetching water",
        r"\{'pages': \['birds', 'water'\]\}",
    ],
    "17_streaming_endpoint.py": ["3", "2", "1", "Liftoff!", "one by one: True"],
}


def run(server: Server, *argv: str) -> subprocess.CompletedProcess[str]:
    """`squall run …` against `server`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SQUALL_")}
    found = {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    return subprocess.run(
        [sys.executable, "-m", "squall.cli", "run", *argv],
        env={**kept, **found, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def test_every_example_is_run() -> None:
    assert sorted(PRINTS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(PRINTS))
def test_example_prints_what_it_promises(server: Server, name: str) -> None:
    done = run(server, str(EXAMPLES / name))
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    for pattern in PRINTS[name]:
        assert any(re.fullmatch(pattern, line) for line in printed), (pattern, done)


def test_example_takes_arguments(server: Server) -> None:
    done = run(server, "-q", str(EXAMPLES / "01_hello.py"), "--name", "Ada")
    assert done.returncode == 0, done.stderr
    assert "Hello, Ada!" in done.stdout.splitlines()


def test_example_gives_its_result_to_a_file(server: Server, tmp_path: Path) -> None:
    written = tmp_path / "result.txt"
    done = run(server, "-q", "-w", str(written), str(EXAMPLES / "04_streaming.py"))
    assert done.returncode == 0, done.stderr
    assert written.read_text() == "ONE WORD AT A TIME"
