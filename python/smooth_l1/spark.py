"""The losses for Spark: columns with the bytes of partial losses, for `smooth_l1.merge` and `smooth_l1.value`.

`partials` makes one row of each partition, where the partition is. The functions `smooth_l1_loss` and so on
aggregate groups: Spark brings all rows of a group to one task first, as it does for every aggregation in Python.
Both have the same 64 bits for any number of partitions, executors, and lost and repeated tasks. The package must be
installed on all nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql.functions import arrow_udf, col
from pyspark.sql.pandas.functions import ArrowUDFType

from . import _losses
from ._accumulator import merge
from ._columns import Columns

__all__ = ["huber_loss", "l1_loss", "partials", "quantile_huber_loss", "smooth_l1_loss"]


def partials(
    frame: DataFrame,
    loss: _losses._Loss,
    prediction: str,
    target: str,
    *,
    weight: str | float | None = None,
    mask: str | None = None,
    inside_weight: str | float | None = None,
) -> DataFrame:
    """The partial loss of each partition, in the column "partial". Nothing but these 128 bytes moves.

    Args:
        frame: the rows.
        loss: a loss of `smooth_l1`.
        prediction: a column of float, or of arrays of floats of one length.
        target: another.
        weight: a column of float that multiplies the losses, or a number.
        mask: a column of boolean. Rows where it is false are left out.
        inside_weight: a column of float that multiplies the residuals, or a number.

    Nulls of the target count as NaN with `ignore_nan=True`. Any others are an error.

    >>> import smooth_l1
    >>> from pyspark.sql import SparkSession
    >>> spark = SparkSession.builder.getOrCreate()
    >>> frame = spark.createDataFrame([(0.25, 0.0), (3.0, 0.0), (-1.0, 0.0)], "prediction float, target float")
    >>> parts = smooth_l1.spark.partials(frame, smooth_l1.SmoothL1Loss(beta=0.5), "prediction", "target").collect()
    >>> smooth_l1.value(smooth_l1.merge(part.partial for part in parts))
    1.1875
    """
    columns = Columns("partials", loss, prediction, target, weight, mask, inside_weight)

    def add_up(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        part = _added(columns, (batch.columns for batch in batches))
        yield pa.record_batch({"partial": pa.array([part], pa.binary())})

    return frame.select(*columns.names).mapInArrow(add_up, "partial binary")


def smooth_l1_loss(prediction: str, target: str, **arguments) -> Column:
    """The bytes of the smooth L1 loss of a group, to aggregate with.

    Spark takes one such aggregation at a time.

    Args:
        prediction: a column, as for `partials`.
        target: another.
        arguments: `weight`, `mask` and `inside_weight` as for `partials`, and the options of
            `smooth_l1.SmoothL1Loss`.

    >>> import smooth_l1
    >>> from pyspark.sql import SparkSession
    >>> spark = SparkSession.builder.getOrCreate()
    >>> rows = [("a", 0.25, 0.0), ("a", 3.0, 0.0), ("b", -1.0, 0.0)]
    >>> frame = spark.createDataFrame(rows, "key string, prediction float, target float")
    >>> loss = smooth_l1.spark.smooth_l1_loss("prediction", "target", beta=0.5).alias("loss")
    >>> groups = frame.groupBy("key").agg(loss).orderBy("key").collect()
    >>> [(group.key, smooth_l1.value(group.loss)) for group in groups]
    [('a', 1.40625), ('b', 0.75)]
    >>> smooth_l1.value(smooth_l1.merge(group.loss for group in groups))
    1.1875
    """
    return _aggregation("smooth_l1_loss", _losses.SmoothL1Loss, prediction, target, **arguments)


def huber_loss(prediction: str, target: str, **arguments) -> Column:
    """The same for `smooth_l1.HuberLoss`."""
    return _aggregation("huber_loss", _losses.HuberLoss, prediction, target, **arguments)


def quantile_huber_loss(prediction: str, target: str, **arguments) -> Column:
    """The same for `smooth_l1.QuantileHuberLoss`."""
    return _aggregation("quantile_huber_loss", _losses.QuantileHuberLoss, prediction, target, **arguments)


def l1_loss(prediction: str, target: str, **arguments) -> Column:
    """The same for `smooth_l1.L1Loss`."""
    return _aggregation("l1_loss", _losses.L1Loss, prediction, target, **arguments)


def _aggregation(
    fn: str,
    kind: type[_losses._Loss],
    prediction: str,
    target: str,
    *,
    weight: str | float | None = None,
    mask: str | None = None,
    inside_weight: str | float | None = None,
    **options,
) -> Column:
    columns = Columns(fn, kind(**options), prediction, target, weight, mask, inside_weight)

    def add_up(batches: Iterator[tuple[pa.Array, ...]]) -> bytes:
        return _added(columns, batches)

    # In batches: a group may be larger than memory.
    add_up.__name__ = fn
    udf = arrow_udf(add_up, "binary", ArrowUDFType.GROUPED_AGG_ITER)
    return udf(*map(col, columns.names))


def _added(columns: Columns, batches: Iterator[tuple[pa.Array, ...] | list[pa.Array]]) -> bytes:
    """The partial loss of all batches."""
    parts = (columns.partial(dict(zip(columns.names, arrays, strict=True))) for arrays in batches)
    return reduce(lambda one, other: merge([one, other]), parts, columns.loss.nothing())
