"""Metrics and the log of the stand-in for `triton_python_backend_utils`."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from functools import partial

from tbgen.generator.steps.failure import own_frames


class MetricKind(enum.IntEnum):
    """What a metric may do."""

    COUNTER = 0
    GAUGE = 1


class Level(enum.IntEnum):
    """How loud a line of the log is."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3


class Metric:
    """A number that goes nowhere."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self.labels = dict(labels or {})
        self._value = 0.0

    def increment(self, value: float) -> None:
        self._value += value

    def set(self, value: float) -> None:
        self._value = value

    def value(self) -> float:
        return self._value


class MetricFamily:
    """Metrics of one name, seen by nobody; without histograms, as before Triton 24.08, where all answer at once."""

    COUNTER, GAUGE = MetricKind

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        self.name, self.description, self.kind = name, description, kind

    def Metric(self, labels: Mapping[str, str] | None = None) -> Metric:
        """A metric of the family."""
        return Metric(labels)


class Logger:
    """The server's log: Python's logger `tbgen.run`, tracebacks by the frames of the person's own files."""

    LogLevel = Level
    INFO, WARNING, ERROR, VERBOSE = Level
    LEVELS = {
        Level.INFO: logging.INFO,
        Level.WARNING: logging.WARNING,
        Level.ERROR: logging.ERROR,
        Level.VERBOSE: logging.DEBUG,
    }

    @staticmethod
    def log(message: str, level: Level = Level.INFO) -> None:
        logging.getLogger("tbgen.run").log(Logger.LEVELS[level], "%s", own_frames(message))

    log_info = staticmethod(partial(log, level=Level.INFO))
    log_warn = staticmethod(partial(log, level=Level.WARNING))
    log_error = staticmethod(partial(log, level=Level.ERROR))
    log_verbose = staticmethod(partial(log, level=Level.VERBOSE))
