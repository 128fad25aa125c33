"""The tests, in which torch has one thread: models are tiny, and more threads only wait for one another."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and by commands
