"""Other servers for transformers, and the walk-through's recipe, beside tbgen's graphs: the same weights and texts."""
