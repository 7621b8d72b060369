"""The module in wasmtime: one store a process, which runs one call at a time."""

from __future__ import annotations

import os
import threading
from importlib import resources

import numpy as np
import wasmtime

from . import _job
from ._accumulator import ExactSum

# Elements that are copied into the module's memory for one run. A run costs 30 us beside its elements; with
# 2^18 of them that is a tenth, and two inputs still fit into a cache of 2 MB.
CHUNK = 2**18
_PAGE = 2**16
_LINE = 64


def _aligned(address: int) -> int:
    return -(-address // _LINE) * _LINE


class Job:
    """What a call computes: the words of a job, and the arrays of its operands."""

    def __init__(
        self, curve: tuple[float, ...], counted: int, ignores_nan: bool, ignore_value: float | None = None
    ) -> None:
        self.words = np.zeros(_job.JOB_WORDS, np.uint32)
        self.floats = self.words.view(np.float32)
        self.words[_job.field.want] = _job.want.EXACT
        self.words[_job.field.count] = counted
        self.words[_job.field.ignore] = (_job.ignore.NAN if ignores_nan else 0) | (
            0 if ignore_value is None else _job.ignore.VALUE
        )
        # No target equals NaN.
        self.floats[_job.field.ignore_value] = np.nan if ignore_value is None else ignore_value
        self.floats[_job.field.pre : _job.field.pre + len(curve)] = curve
        self.floats[_job.field.scale] = 1
        self.floats[_job.field.grad_scale] = 1
        for index in range(_job.operand.MASK + 1):
            self.number(index, 1)
        self.arrays: dict[int, np.ndarray] = {}

    def number(self, operand: int, value: float) -> None:
        """One value for all elements."""
        self.floats[_job.OPERANDS + _job.OPERAND_WORDS * operand + 2] = value

    def array(self, operand: int, values: np.ndarray, layout: int = _job.layout.FULL) -> None:
        """One value for each element, in 4, 2 or 1 bytes."""
        self.words[_job.OPERANDS + _job.OPERAND_WORDS * operand] = layout
        self.arrays[operand] = values


class _Kernel:
    """A store with a memory of a fixed size, whose views stay valid."""

    def __init__(self, module: wasmtime.Module, engine: wasmtime.Engine) -> None:
        self._store = wasmtime.Store(engine)
        memory = wasmtime.Memory(self._store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
        exports = wasmtime.Instance(self._store, module, [memory]).exports(self._store)
        self._run = exports["run"]
        self._prepare = exports["prepare"]
        # Nothing is at address 0.
        self._work = _LINE
        self._job = _aligned(self._work + exports["work_size"](self._store))
        self._places = {}
        end = _aligned(self._job + 4 * _job.JOB_WORDS)
        operands = (_job.operand.INPUT, _job.operand.TARGET, _job.operand.INSIDE, _job.operand.OUTSIDE)
        for operand in (*operands, _job.operand.MASK):
            self._places[operand] = end
            # A line more keeps the arrays off each other's cache sets.
            end += (1 if operand == _job.operand.MASK else 4) * CHUNK + _LINE
        memory.grow(self._store, -(-end // _PAGE))
        self._bytes = np.frombuffer(memory.get_buffer_ptr(self._store), np.uint8)
        self._words = self._view(self._job, 4 * _job.JOB_WORDS, np.uint32)
        self._totals = self._view(self._work, 8 * _job.TOTALS_WORDS, np.float64)
        sums = self._work + 8 * _job.TOTALS_WORDS
        self._sums = [self._view(sums + 4 * _job.EXACT_WORDS * i, 4 * _job.EXACT_WORDS, np.uint32) for i in range(2)]

    def _view(self, address: int, size: int, dtype: type | np.dtype) -> np.ndarray:
        return self._bytes[address : address + size].view(dtype)

    def compute(self, job: Job) -> tuple[ExactSum, ExactSum, int]:
        """Add all elements up: the losses, the weights that are counted, and the number of what is counted."""
        self._totals[:] = 0
        for words in self._sums:
            words[:] = 0
        self._words[:] = job.words
        places = []
        for operand, values in job.arrays.items():
            address = self._places[operand]
            self._words[_job.OPERANDS + _job.OPERAND_WORDS * operand + 1] = address
            places.append(self._view(address, values.itemsize * CHUNK, values.dtype.newbyteorder("<")))
        self._prepare(self._store, self._job)
        # NumPy cuts the arrays into chunks: of any shape, spread over each other, in the order in which
        # most of them lie, which does not matter to an exact sum. It copies only what it has to gather.
        chunks = np.nditer(
            list(job.arrays.values()),
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[["readonly"]] * len(places),
            op_dtypes=[place.dtype for place in places],
            order="K",
            casting="equiv",
            buffersize=CHUNK,
        )
        with chunks:
            for chunk in chunks:
                n = len(chunk[0])
                for place, values in zip(places, chunk, strict=True):
                    place[:n] = values
                self._run(self._store, self._job, 0, n, self._work)
        losses, weights = (ExactSum.from_words(words) for words in self._sums)
        return losses, weights, int(self._totals[_job.totals.COUNT])


def _compile() -> tuple[wasmtime.Module, wasmtime.Engine]:
    config = wasmtime.Config()
    # The threads that would compile are not there in a process that was forked: it would wait forever.
    config.parallel_compilation = False
    engine = wasmtime.Engine(config)
    source = resources.files(__package__).joinpath("smooth_l1.wasm").read_bytes()
    return wasmtime.Module(engine, source), engine


_lock = threading.Lock()
# A quarter of a second; a process that is forked has it already.
_compiled: tuple[wasmtime.Module, wasmtime.Engine] | None = None
_kernel: _Kernel | None = None
_left: list[_Kernel | None] = []


def compute(job: Job) -> tuple[ExactSum, ExactSum, int]:
    """Compute a job. Other threads wait meanwhile: a store is for one thread at a time."""
    global _compiled, _kernel
    with _lock:
        if _compiled is None:
            _compiled = _compile()
        if _kernel is None:
            _kernel = _Kernel(*_compiled)
        return _kernel.compute(job)


def _forget() -> None:
    """Start anew in a process that was forked.

    A thread of the parent may have been in the middle of a call, with the lock. Its store is never closed
    here, since that needs locks of the engine.
    """
    global _kernel, _lock
    _left.append(_kernel)
    _kernel = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
