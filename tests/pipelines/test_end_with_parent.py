"""A real process whose parent was gone before it could look."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_parent_that_was_gone_before_its_worker_had_started_ends_it_too() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = (
        "import time; from pipelines.end_with_parent import end_with_parent; "
        f"end_with_parent({gone.pid}); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30)
    assert ended.returncode == 1
