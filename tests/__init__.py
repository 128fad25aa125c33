"""The tests, in which torch has one thread: models are tiny, and more threads only wait for one another."""

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and by commands
# Commands that tests start, and the tests, are compiled once, wherever the tests run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
