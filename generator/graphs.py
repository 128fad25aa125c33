"""The graphs: how a request runs through tokenizer, engine and postprocess, and the words that ask for them."""

from __future__ import annotations

AUTO = "auto"
EACH_GRAPH = ("ensemble", "bls", "single")
# Of the front models of a name the first is meant: BLS serves mixed texts best (docs/explanation/performance.md).
_PREFERRED = ("bls", "single", "ensemble")
GRAPHS = {**{graph: (graph,) for graph in EACH_GRAPH}, "both": ("ensemble", "bls")}


def preference(model: str) -> tuple[int, str]:
    """Where a front model stands among those of its name: by its graph, then, of several engines, by its own name."""
    graph = model.rpartition("_")[2]
    return (_PREFERRED.index(graph) if graph in _PREFERRED else len(_PREFERRED)), model
