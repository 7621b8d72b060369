"""The loss of Parquet shards on a Ray cluster: one number, the same 64 bits on any number of nodes.

    python loss.py s3://bucket/shards/ --prediction prediction --target target --beta 1.0

Each task makes 128 bytes of its shards. Ray shows the progress, and repeats what a lost worker or
node had not finished.
"""

import argparse

import ray
import smooth_l1


def loss_of(paths: str | list[str], loss: smooth_l1.ray.SmoothL1Loss) -> float:
    """The loss of all rows; `loss` names the columns."""
    # Nothing else is read.
    shards = ray.data.read_parquet(paths).select_columns(loss.columns)
    return shards.aggregate(loss)[loss.name]


def main() -> None:
    """Read the command line, and print the loss."""
    parser = argparse.ArgumentParser(description="The smooth L1 loss of Parquet files, on a Ray cluster")
    parser.add_argument("paths", nargs="+", help="files or folders, local or remote")
    parser.add_argument("--prediction", default="prediction", help="its column")
    parser.add_argument("--target", default="target", help="its column")
    parser.add_argument("--beta", type=float, default=1.0, help="the threshold")
    parser.add_argument("--address", help="of the cluster; without it, one that runs here, or else a new one")
    given = parser.parse_args()
    ray.init(address=given.address)
    print(loss_of(given.paths, smooth_l1.ray.SmoothL1Loss(given.prediction, given.target, beta=given.beta)))


if __name__ == "__main__":
    main()
