"""pip of the running Python, as a program."""

from __future__ import annotations

import subprocess
import sys


def pip_failure(*arguments: str) -> str:
    """Run pip, which says nothing where all is well; why it failed in one line, empty when it did not."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    if not done.returncode:
        return ""
    said = (done.stderr.strip() or "pip gave no reason").splitlines()
    return next((line for line in said if "DO NOT MATCH" in line), said[-1])
