"""`make demo`: scaffold the sample, serve it on a real Triton, ask it over gRPC and HTTP, stop the server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tbgen.server.client.client import infer
from tbgen.server.embedded.server import server_on_free_ports

SENTENCES = [
    "신제품 흥행에 힘입어 영업이익이 두 배로 뛰었다 📈",
    "오늘도 물렸네 ㅠㅠ 손절해야 하나",
    "정기 주주총회는 다음 달 20일 본사 강당에서 열린다.",
    "배당 늘려준다니 존버한 보람이 있다 👍",
    "원자재값 급등에 적자로 돌아서며 주가가 하한가로 밀렸다.",
    "거래 시간은 오전 9시부터 오후 3시 30분까지입니다.",
]
FRONTS = {"grpc": "kcbert_onnx_ensemble", "http": "kcbert_onnx_bls"}


def main() -> None:
    """The whole road once."""
    repository = Path("model_repository")
    subprocess.run([sys.executable, "-m", "tbgen.cli.main", "scaffold", "kcbert", "-r", str(repository)], check=True)
    console = Console()
    with tempfile.TemporaryDirectory() as folder, console.status("Starting Triton") as status:
        log = Path(folder) / "triton.log"
        with server_on_free_ports(repository, log=log) as server:
            urls = {"grpc": f"grpc://{server.grpc_url}", "http": f"http://{server.http_url}"}
            for protocol, front in FRONTS.items():
                status.update(f"Asking {front} over {protocol}")
                answers = infer(front, SENTENCES, url=urls[protocol])
                console.print(answer_table(f"{front}, over {protocol.upper()}", answers))
            status.update("Stopping Triton")


def answer_table(title: str, answers: list[dict[str, object]]) -> Table:
    """Text, label and probability of each sentence."""
    table = Table("text", "label", "probability", title=title, title_justify="left")
    for text, answer in zip(SENTENCES, answers, strict=True):
        table.add_row(text, str(answer["label"]), f"{answer['score']:.3f}")
    return table


if __name__ == "__main__":
    main()
