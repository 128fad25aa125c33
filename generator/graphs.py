"""The graphs: how a request runs through tokenizer, engine and postprocess, and the words that ask for them."""

from __future__ import annotations

AUTO = "auto"
EACH_GRAPH = ("ensemble", "bls", "single")
GRAPHS = {**{graph: (graph,) for graph in EACH_GRAPH}, "both": ("ensemble", "bls")}
