"""What the tests share: the TypeScript side, and data that a wrong sum or a wrong kernel would not survive."""

import itertools
import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture
def typescript(tmp_path):
    """Run cases in Node, over the built npm package: their bytes, their values as bytes, and their counts."""
    numbers = itertools.count()

    def lay(value):
        if isinstance(value, dict):
            return {key: lay(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [lay(inner) for inner in value]
        if isinstance(value, float) and (value != value or value in (np.inf, -np.inf)):
            return {np.inf: "Infinity", -np.inf: "-Infinity"}.get(value, "NaN")
        if isinstance(value, bytes):
            return value.hex()
        if not isinstance(value, np.ndarray):
            return value
        file = tmp_path / f"{next(numbers)}.bin"
        file.write_bytes(value.tobytes())
        return {"file": str(file), "type": value.dtype.name}

    def run(cases):
        done = subprocess.run(
            ["node", HERE / "typescript.mjs"],
            input=json.dumps(lay(cases)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [
            (bytes.fromhex(result["bytes"]), bytes.fromhex(result["value"]), result["count"])
            for result in json.loads(done.stdout)
        ]

    return run


def bits(value: float) -> bytes:
    """The bytes of an f64; every NaN is the same."""
    return struct.pack("<d", value if value == value else float("nan"))


def numbers(seed: int, n: int, least: float = -30, most: float = 6) -> np.ndarray:
    """Numbers of both signs and of many magnitudes, of which most sums would be rounded."""
    random = np.random.default_rng(seed)
    return ((random.random(n) - 0.5) * 10 ** random.uniform(least, most, n)).astype(np.float32)
