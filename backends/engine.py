"""The engine as a step, where it takes certain shapes alone: another Triton model, called in micro-batches."""

from .engine_call import Engine as AnyShape
from .fixed_shapes import FixedShapes


class Engine(FixedShapes, AnyShape):
    """Calls the model `model` of the same server, in the shapes that it takes.

    Args: those of FixedShapes, and of the call of an engine that takes any shape.
    """

    run = AnyShape.request
