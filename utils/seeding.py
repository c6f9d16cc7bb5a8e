"""Seeding of everything that draws."""

import numpy as np
import torch


def seed_everything(seed: int) -> np.random.Generator:
    """Seed torch on all devices and numpy's global state, and return the generator that our own code uses.

    The global state is seeded for libraries only; nothing in this project draws from it.
    """
    torch.manual_seed(seed)  # CPU and every GPU
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that know no generator
    return np.random.default_rng(seed)
