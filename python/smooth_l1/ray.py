"""The losses for Ray Data: `ds.aggregate(smooth_l1.ray.SmoothL1Loss("prediction", "target"))`.

Each task makes 128 bytes of its blocks; these are merged. So the loss has the same 64 bits for any number of
blocks, nodes, and lost and repeated tasks. The package must be installed on all nodes.
"""

from __future__ import annotations

import pyarrow as pa
from ray.data.aggregate import AggregateFnV2
from ray.data.block import Block, BlockAccessor

from . import _losses
from ._accumulator import merge, value
from ._columns import Columns

__all__ = ["HuberLoss", "L1Loss", "QuantileHuberLoss", "SmoothL1Loss"]


class _Aggregate(AggregateFnV2[bytes, float]):
    """A loss of two columns, as an aggregation.

    Args:
        prediction: a column of float32 or float16: numbers, lists of one length, or tensors.
        target: another.
        weight: a column of float32 that multiplies the losses, or a number.
        mask: a column of bool or uint8. Rows where it is 0 or False are left out.
        inside_weight: a column of float32 that multiplies the residuals, or a number.
        alias_name: what the result is called.
        options: those of the loss.

    Nulls of the target count as NaN with `ignore_nan=True`. Any others are an error.
    """

    _kind: type[_losses._Loss]
    _fn: str

    def __init__(
        self,
        prediction: str,
        target: str,
        *,
        weight: str | float | None = None,
        mask: str | None = None,
        inside_weight: str | float | None = None,
        alias_name: str | None = None,
        **options,
    ) -> None:
        loss = self._kind(**options)
        self._columns = Columns(self._fn, loss, prediction, target, weight, mask, inside_weight)
        super().__init__(alias_name or self._columns.fn, zero_factory=loss.nothing, on=None, ignore_nulls=False)

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return self._columns.names

    def get_target_column(self) -> str:
        """No single column. Ray would drop the columns of an aggregation with None, if there are groups."""
        return ""

    def aggregate_block(self, block: Block) -> bytes:
        accessor = BlockAccessor.for_block(block)
        if isinstance(block, pa.Table):
            columns = {
                name: accessor.to_numpy(name)
                if isinstance(block.schema.field(name).type, pa.ExtensionType)
                else block.column(name)
                for name in self._columns.names
            }
        else:
            columns = accessor.to_numpy(self._columns.names)
        return self._columns.partial(columns)

    def combine(self, current_accumulator: bytes, new: bytes) -> bytes:
        return merge([current_accumulator, new])

    def finalize(self, accumulator: bytes) -> float:
        return value(accumulator)

    def output_field(self, input_schema: pa.Schema) -> pa.Field:
        return pa.field(self.name, pa.float64(), nullable=False)

    def _validate(self, schema: object) -> None:
        if schema is None:
            return
        missing = [name for name in self._columns.names if name not in schema.names]
        if missing:
            raise ValueError(
                f"{self._columns.fn}: there is no column {missing[0]!r}; there are {', '.join(schema.names)}"
            )


class SmoothL1Loss(_Aggregate):
    """Smooth L1 loss of two columns: see `smooth_l1.SmoothL1Loss` for its options.

    >>> import numpy as np, ray, smooth_l1
    >>> ds = ray.data.from_numpy(np.float32([0.25, 3, -1])).rename_columns({"data": "prediction"})
    >>> ds = ds.add_column("target", lambda batch: np.zeros(len(batch), np.float32))
    >>> ds.aggregate(smooth_l1.ray.SmoothL1Loss("prediction", "target", beta=0.5, alias_name="loss"))
    {'loss': 1.1875}
    """

    _kind = _losses.SmoothL1Loss
    _fn = "smooth_l1_loss"


class HuberLoss(_Aggregate):
    """Huber loss of two columns: see `smooth_l1.HuberLoss` for its options."""

    _kind = _losses.HuberLoss
    _fn = "huber_loss"


class QuantileHuberLoss(_Aggregate):
    """Quantile Huber loss of two columns: see `smooth_l1.QuantileHuberLoss` for its options."""

    _kind = _losses.QuantileHuberLoss
    _fn = "quantile_huber_loss"


class L1Loss(_Aggregate):
    """L1 loss of two columns: see `smooth_l1.L1Loss` for its options."""

    _kind = _losses.L1Loss
    _fn = "l1_loss"
