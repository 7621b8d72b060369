"""Columns of tables as the arrays of a call, for Ray Data and Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._losses import _Loss

# The arguments of `partial` that may be columns.
_ARGUMENTS = ("input", "target", "weight", "mask", "inside_weight")


class Columns:
    """Which columns, or numbers, are the arguments of a loss."""

    def __init__(
        self,
        fn: str,
        loss: _Loss,
        prediction: str,
        target: str,
        weight: str | float | None,
        mask: str | None,
        inside_weight: str | float | None,
    ) -> None:
        given = dict(zip(_ARGUMENTS, (prediction, target, weight, mask, inside_weight), strict=True))
        for name, value in given.items():
            if value is not None and not isinstance(value, str) and name not in ("weight", "inside_weight"):
                label = "prediction" if name == "input" else name
                raise TypeError(f"{fn}: {label} must be the name of a column, got {value!r}")
        self.fn = f"{fn}({prediction}, {target})"
        self.loss = loss
        self._given = {name: value for name, value in given.items() if value is not None}

    @property
    def names(self) -> list[str]:
        """The columns, each once."""
        return list(dict.fromkeys(value for value in self._given.values() if isinstance(value, str)))

    def partial(self, columns: Mapping[str, pa.Array | pa.ChunkedArray | np.ndarray]) -> bytes:
        """The partial loss of some rows."""
        arrays = {}
        for name, value in self._given.items():
            arrays[name] = self._read(name, value, columns[value]) if isinstance(value, str) else value
        dimensions = arrays["input"].ndim
        for name, array in arrays.items():
            # One value for each row of a table, whatever a row has.
            if name not in ("input", "target") and isinstance(array, np.ndarray) and array.ndim < dimensions:
                arrays[name] = array.reshape(array.shape + (1,) * (dimensions - array.ndim))
        return self.loss.partial(**arrays)

    def _read(self, name: str, label: str, column: pa.Array | pa.ChunkedArray | np.ndarray) -> np.ndarray:
        start = f"{self.fn}: column {label!r}"
        size = None
        nulls = 0
        kind = getattr(column, "type", None)
        if not isinstance(column, np.ndarray):
            if isinstance(column, pa.ChunkedArray):
                column = column.combine_chunks()
            nulls = column.null_count
            if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
                size = self._list_size(start, column)
                column = column.flatten()
                nulls += column.null_count
            column = column.to_numpy(zero_copy_only=False)
        is_mask = name == "mask"
        is_missing = name == "target" and self.loss.ignores_nan
        if nulls and not is_missing:
            hint = "; with ignore_nan=True they are left out" if name == "target" else ""
            raise ValueError(f"{start} has {nulls} nulls{hint}")
        types = (np.bool_, np.uint8) if is_mask else (np.float32, np.float16)
        if column.dtype not in types and column.dtype.name != "bfloat16":
            wanted = "bool or uint8" if is_mask else "float32 or float16"
            raise TypeError(f"{start} must be of {wanted}, got {kind or column.dtype.name}; cast it")
        return column if size is None else column.reshape(-1, size)

    @staticmethod
    def _list_size(start: str, column: pa.Array) -> int:
        if column.null_count:
            raise ValueError(f"{start} has {column.null_count} nulls in place of lists")
        if pa.types.is_fixed_size_list(column.type):
            return column.type.list_size
        lengths = np.diff(column.offsets.to_numpy())
        if len(lengths) and lengths.min() != lengths.max():
            raise ValueError(
                f"{start} has lists of {lengths.min()} to {lengths.max()} values; they must be equally long"
            )
        return max(1, int(lengths[0])) if len(lengths) else 1
