"""Spark on this machine: the bits of one call, for partitions and for groups."""

import doctest
import os
import re
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest
from conftest import bits, numbers
from pyspark.sql import SparkSession

import smooth_l1

N = 20_000
TABLE = {
    "prediction": numbers(1, N, -20, 6),
    "target": numbers(2, N, -20, 6),
    "weight": numbers(3, N, -9, 3),
    "mask": np.arange(N) % 7 != 0,
    "key": np.arange(N) % 3,
}


@pytest.fixture(scope="module")
def spark():
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    # Its workers would have the first python3 that there is.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {
        "spark.driver.memory": "512m",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # Several batches of a partition and of a group.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "3000",
    }
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def test_partitions(spark, typescript):
    one = {"kind": "SmoothL1Loss", "options": {"beta": 0.3}, "call": {}}
    [(part, value, _)] = typescript([{**one, "input": TABLE["prediction"], "target": TABLE["target"]}])
    frame = spark.createDataFrame(pa.table(TABLE))
    for cut in (frame.repartition(1), frame.repartition(3), frame.repartition(8)):
        rows = smooth_l1.spark.partials(cut, smooth_l1.SmoothL1Loss(beta=0.3), "prediction", "target").collect()
        assert len(rows) == cut.rdd.getNumPartitions()
        merged = smooth_l1.merge(row.partial for row in rows)
        assert merged == part
        assert bits(smooth_l1.value(merged)) == value


def test_groups(spark):
    frame = spark.createDataFrame(pa.table(TABLE))
    loss = smooth_l1.L1Loss(divisor="weights")
    column = smooth_l1.spark.l1_loss("prediction", "target", weight="weight", mask="mask", divisor="weights")
    groups = frame.groupBy("key").agg(column.alias("loss")).collect()
    for group in groups:
        its = TABLE["key"] == group.key
        arrays = [TABLE[name][its] for name in ("prediction", "target", "weight", "mask")]
        assert bytes(group.loss) == loss.partial(*arrays)
    assert len(groups) == 3


def test_no_rows_and_arrays(spark):
    kind = "prediction array<float>, target array<float>"
    frame = spark.createDataFrame([([1.0, 5.0], [0.0, 1.0]), ([2.0, 0.0], [None, 0.0])], kind)
    loss = smooth_l1.spark.l1_loss("prediction", "target", ignore_nan=True, reduction="sum").alias("loss")
    assert smooth_l1.value(frame.agg(loss).first().loss) == 5
    parts = smooth_l1.spark.partials(frame.limit(0), smooth_l1.L1Loss(reduction="sum"), "prediction", "target")
    assert [smooth_l1.value(row.partial) for row in parts.collect()] == [0] * parts.rdd.getNumPartitions()


def test_wrong_columns(spark):
    frame = spark.createDataFrame([(1.0, 2.0)], "prediction double, target float")
    loss = smooth_l1.spark.smooth_l1_loss("prediction", "target")
    message = "smooth_l1_loss(prediction, target): column 'prediction' must be of float32 or float16, got double"
    with pytest.raises(Exception, match=re.escape(message)):
        frame.agg(loss).collect()


def test_the_examples_of_the_docstrings(spark):
    done = doctest.testmod(smooth_l1.spark)
    assert done.attempted > 0
    assert done.failed == 0
