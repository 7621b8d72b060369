"""Smooth L1, Huber and L1 loss over larger-than-memory data.

Losses are added up exactly, by the same WebAssembly module that the npm package `smooth-l1` runs: one array,
chunks, processes and machines give the same 64 bits, in any order.

    loss = smooth_l1.SmoothL1Loss(beta=1.0)
    part = loss.partial(input, target)          # 128 bytes, on each machine
    smooth_l1.value(smooth_l1.merge(parts))     # the loss of everything

`smooth_l1.ray` has the losses for Ray Data, `smooth_l1.spark` for Spark.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from ._accumulator import count, merge, value
from ._losses import HuberLoss, L1Loss, QuantileHuberLoss, SmoothL1Loss

__all__ = ["HuberLoss", "L1Loss", "QuantileHuberLoss", "SmoothL1Loss", "count", "merge", "value"]


def __getattr__(name: str) -> _ModuleType:
    """Import `ray` and `spark` when they are first used: each needs a package that this one does without."""
    if name in ("ray", "spark"):
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
