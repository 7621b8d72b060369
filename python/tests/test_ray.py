"""Ray Data on a cluster of two nodes: the bits of one TypeScript call, whatever happens to a worker."""

import doctest
import os
import re
import signal
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from conftest import HERE, bits, numbers
from ray.cluster_utils import Cluster

import smooth_l1

sys.path.insert(0, str(HERE.parent.parent / "examples" / "ray"))
from loss import loss_of

N = 40_000
TABLE = {
    "prediction": numbers(1, N, -20, 6),
    "target": numbers(2, N, -20, 6),
    "weight": numbers(3, N, -9, 3),
    "mask": np.arange(N) % 7 != 0,
    "group": np.arange(N) % 3,
}
LOSS = smooth_l1.SmoothL1Loss(beta=0.3)
ENDS = {1: [], 3: [7, 30_000], 8: [1, 500, 9000, 9001, 20_000, 30_001, 39_990]}


def two_nodes():
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    two = Cluster(initialize_head=True, head_node_args=node)
    try:
        two.add_node(**node)
    except Exception:
        two.shutdown()
        raise
    return two


@pytest.fixture(scope="module")
def cluster():
    # Ray gives up a node whose agents do not start in 15 seconds, as where the processors are taken.
    for attempt in range(5):
        try:
            two = two_nodes()
            break
        except Exception as error:
            if attempt == 4 or "timed out during startup" not in str(error):
                raise
    ray.init(address=two.address, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Each small block becomes a partial loss. Ray has a task add several of them up.
    context.shuffle_input_batch_bytes = 1
    yield two
    ray.shutdown()
    two.shutdown()


@pytest.fixture
def wanted(typescript):
    """The bits of one call over everything, in TypeScript."""
    one = {"kind": "SmoothL1Loss", "options": {"beta": 0.3}, "call": {}}
    [(_, value, count)] = typescript([{**one, "input": TABLE["prediction"], "target": TABLE["target"]}])
    assert count == N
    return value


# Workers do not import the tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Interrupted(smooth_l1.ray.SmoothL1Loss):
    """Counts the partial losses by files, and has the worker that makes the third one killed."""

    def __init__(self, folder, *columns, **options):
        super().__init__(*columns, **options)
        self.folder = folder

    def aggregate_block(self, block):
        part = super().aggregate_block(block)
        made = len(os.listdir(self.folder))
        (self.folder / f"{os.getpid()}-{os.urandom(8).hex()}").touch()
        try:
            killed = made >= 3 and os.open(self.folder / "killed", os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            killed = False
        if killed:
            # The partial loss is made, and never gets to anyone.
            (self.folder / "pipe").write_text(str(os.getpid()))
            signal.pause()
        return part


def test_a_worker_is_killed_in_the_middle(cluster, wanted, tmp_path, monkeypatch):
    # Blocks of 5,000 rows. Ray makes them of 128 MB.
    monkeypatch.setattr(ray.data.DataContext.get_current(), "target_max_block_size", 40_000)
    monkeypatch.setattr(ray.data.DataContext.get_current(), "target_min_block_size", 1)
    shards, folder = tmp_path / "shards", tmp_path / "made"
    shards.mkdir()
    folder.mkdir()
    for i, rows in enumerate(np.split(np.arange(N), ENDS[8])):
        pq.write_table(pa.table({name: TABLE[name][rows] for name in TABLE}), shards / f"{i}.parquet")
    os.mkfifo(folder / "pipe")
    killed = []

    def kill():
        pid = int((folder / "pipe").read_text())
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    threading.Thread(target=kill, daemon=True).start()
    loss = loss_of(str(shards), Interrupted(folder, "prediction", "target", beta=0.3))
    assert bits(loss) == wanted
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    # The one that was lost was made again.
    parts = [file.name for file in folder.iterdir() if "-" in file.name]
    makers = {name.split("-")[0] for name in parts}
    assert str(killed[0]) in makers
    assert len(makers) > 1


@pytest.mark.parametrize("blocks", ENDS)
def test_any_number_of_blocks(cluster, wanted, blocks):
    rows = np.split(np.arange(N), ENDS[blocks])
    np.random.default_rng(blocks).shuffle(rows)
    data = ray.data.from_arrow([pa.table({name: TABLE[name][some] for name in TABLE}) for some in rows])
    assert data.num_blocks() == blocks
    result = data.aggregate(smooth_l1.ray.SmoothL1Loss("prediction", "target", beta=0.3))
    assert {name: bits(loss) for name, loss in result.items()} == {"smooth_l1_loss(prediction, target)": wanted}


def test_groups_beside_other_aggregations(cluster):
    data = ray.data.from_arrow([pa.table(TABLE).slice(i, 20_001) for i in (0, 20_001)])
    options = {"divisor": "weights", "weight": "weight", "mask": "mask"}
    rows = (
        data.groupby("group")
        .aggregate(
            smooth_l1.ray.L1Loss("prediction", "target", alias_name="loss", **options), ray.data.aggregate.Count()
        )
        .take_all()
    )
    loss = smooth_l1.L1Loss(divisor="weights")
    for row in rows:
        its = TABLE["group"] == row["group"]
        arrays = [TABLE[name][its] for name in ("prediction", "target", "weight", "mask")]
        assert bits(row["loss"]) == bits(loss(*arrays))
        assert row["count()"] == its.sum()
    assert len(rows) == 3


def test_the_examples_of_the_docstrings(cluster):
    done = doctest.testmod(smooth_l1.ray)
    assert done.attempted > 0
    assert done.failed == 0


def aggregate(table, **options):
    """What a worker makes of a block."""
    aggregation = smooth_l1.ray.L1Loss("prediction", "target", **options)
    block = pa.table(table)
    aggregation._validate(block.schema)
    return aggregation.finalize(aggregation.aggregate_block(block))


def test_columns_of_other_types():
    x, t = TABLE["prediction"][:12], TABLE["target"][:12]
    weight, mask = TABLE["weight"][:3], np.array([True, False, True])
    lists = {
        "lists": [pa.array(list(a.reshape(3, 4))) for a in (x, t)],
        "lists of a fixed size": [pa.FixedSizeListArray.from_arrays(pa.array(a), 4) for a in (x, t)],
        "tensors": [ray.data.extensions.ArrowTensorArray.from_numpy(a.reshape(3, 4)) for a in (x, t)],
        "a slice of lists": [pa.array(list(np.concatenate([a[:4], a]).reshape(4, 4))).slice(1) for a in (x, t)],
    }
    wanted = smooth_l1.L1Loss()(x.reshape(3, 4), t.reshape(3, 4), weight[:, None], mask[:, None])
    for name, (prediction, target) in lists.items():
        table = {"prediction": prediction, "target": target, "w": weight, "m": mask}
        assert aggregate(table, weight="w", mask="m") == wanted, name
    halves = {"prediction": x.astype(np.float16), "target": t}
    assert aggregate(halves) == smooth_l1.L1Loss()(x.astype(np.float16), t)
    frame = pa.table({"prediction": x, "target": t}).to_pandas()
    aggregation = smooth_l1.ray.L1Loss("prediction", "target")
    assert aggregation.finalize(aggregation.aggregate_block(frame)) == smooth_l1.L1Loss()(x, t)


def test_nulls():
    missing = pa.array([1, None, 3], pa.float32())
    there = pa.array([0, 5, 1], pa.float32())
    assert aggregate({"prediction": there, "target": missing}, ignore_nan=True, divisor="unmasked") == 1.5
    lists = {"prediction": pa.array([[0.0, 5.0], [1.0, 2.0]], pa.list_(pa.float32()))}
    lists["target"] = pa.array([[1.0, None], [3.0, 2.0]], pa.list_(pa.float32()))
    assert aggregate(lists, ignore_nan=True, divisor="unmasked") == 1
    for table, message in (
        ({"prediction": there, "target": missing}, "'target' has 1 nulls; with ignore_nan=True they are left out"),
        ({"prediction": missing, "target": there}, "l1_loss(prediction, target): column 'prediction' has 1 nulls"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            aggregate(table)


WRONG = [
    ({"target": None}, ValueError, "there is no column 'target'; there are prediction"),
    ({"target": np.zeros(2)}, TypeError, "column 'target' must be of float32 or float16, got double; cast it"),
    ({"target": ["a", "b"]}, TypeError, "column 'target' must be of float32 or float16, got string; cast it"),
    ({"target": [[1.0], [1.0, 2.0]]}, ValueError, "column 'target' has lists of 1 to 2 values; they must be equally"),
    ({"target": [[1.0], None]}, ValueError, "column 'target' has 1 nulls in place of lists"),
]


@pytest.mark.parametrize(("table", "error", "message"), WRONG, ids=lambda x: "")
def test_wrong_columns(table, error, message):
    table = {name: column for name, column in table.items() if column is not None}
    with pytest.raises(error, match=re.escape(message)):
        aggregate({"prediction": np.zeros(2, np.float32), **table})


def test_wrong_arguments():
    with pytest.raises(TypeError, match="l1_loss: mask must be the name of a column, got 1"):
        smooth_l1.ray.L1Loss("prediction", "target", mask=1)
    with pytest.raises(ValueError, match=re.escape("SmoothL1Loss: beta must be a number from 0, got -1.0")):
        smooth_l1.ray.SmoothL1Loss("prediction", "target", beta=-1)
