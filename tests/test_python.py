"""docs/reference/python.md, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fronts, alone, served = done.stdout.splitlines()
    assert fronts == "kcbert_onnx_bls"
    assert alone == "긍정"
    assert re.findall(r"'label': '(\w+)'", served) == ["긍정", "부정"]
