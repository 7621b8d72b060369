"""Parts in any order, from either side, are one loss; and wrong bytes are errors that say what is wrong."""

import re
import struct
import subprocess

import numpy as np
import pytest
from conftest import HERE, bits, numbers

import smooth_l1

X, T, WEIGHT = numbers(1, 5000), numbers(2, 5000, -20, 6), numbers(3, 5000, -9, 3)
LOSS = smooth_l1.SmoothL1Loss(beta=0.3, divisor="weights", min_divisor=2, scale=0.1)
PART = LOSS.partial(X, T, WEIGHT)
SUM = smooth_l1.L1Loss(reduction="sum").partial(X, T)
ROWS = smooth_l1.L1Loss(divisor="unmasked_rows", row_length=4).partial(X, T)


def cut(random, pieces):
    ends = np.sort(random.integers(0, len(X) + 1, pieces - 1))
    return [(a[:], t[:], w[:]) for a, t, w in zip(*(np.split(v, ends) for v in (X, T, WEIGHT)), strict=True)]


@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
def test_any_cut_and_any_order_give_the_same_bytes(pieces):
    random = np.random.default_rng(pieces)
    parts = [LOSS.partial(*piece) for piece in cut(random, pieces)]
    assert smooth_l1.merge(parts) == PART
    while len(parts) > 1:
        # Any two of them, as a tree of machines would.
        a, b = random.choice(len(parts), 2, replace=False)
        both = smooth_l1.merge([parts[a], parts[b]])
        parts = [part for i, part in enumerate(parts) if i not in (a, b)] + [both]
    assert parts == [PART]


def test_parts_of_both_sides_merge(typescript):
    half = len(X) // 2
    [(theirs, _, _)] = typescript(
        [
            {
                "kind": "SmoothL1Loss",
                "options": {"beta": 0.3, "divisor": "weights", "minDivisor": 2, "scale": 0.1, "weight": 1},
                "input": X[half:],
                "target": T[half:],
                "call": {"weight": WEIGHT[half:]},
            }
        ]
    )
    mine = LOSS.partial(X[:half], T[:half], WEIGHT[:half])
    assert smooth_l1.merge(iter([theirs, mine])) == PART
    assert smooth_l1.merge([bytearray(mine), memoryview(theirs)]) == PART
    [(merged, value, _)] = typescript(
        [
            {
                "kind": "SmoothL1Loss",
                "options": {"beta": 0.3, "divisor": "weights", "minDivisor": 2, "scale": 0.1, "weight": 1},
                "merge": [mine, theirs],
            }
        ]
    )
    assert merged == PART
    assert bits(smooth_l1.value(PART)) == value


def test_parts_of_the_command_line_merge(tmp_path):
    def command(*args):
        done = subprocess.run(
            ["node", HERE.parent.parent / "dist" / "cli.js", *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    half = len(X) // 2
    for name, array in (("x", X), ("t", T), ("w", WEIGHT)):
        np.save(tmp_path / f"{name}.npy", array[half:])
    loss = smooth_l1.SmoothL1Loss(beta=0.3, divisor="weights")
    whole = loss.partial(X, T, WEIGHT)
    (tmp_path / "mine").write_bytes(loss.partial(X[:half], T[:half], WEIGHT[:half]))
    options = ["--beta", "0.3", "--weights", "w.npy", "--divisor", "weights"]
    command("x.npy", "t.npy", *options, "--partial", "theirs")

    assert smooth_l1.merge((tmp_path / name).read_bytes() for name in ("mine", "theirs")) == whole
    assert bits(command("merge", "theirs", "mine", "--partial", "all")) == bits(smooth_l1.value(whole))
    assert (tmp_path / "all").read_bytes() == whole


def test_a_sum_is_rounded_once_to_even(typescript):
    # Half of the last bit of an f64 beside it, half of it and the least more, and the largest sum.
    tables = [[1, 2.0**-53], [1 + 2.0**-23, 2.0**-53], [1, 2.0**-53, 2.0**-149], [3.4e38] * 9, [2.0**-149]]
    cases = [np.array(table, np.float32) for table in tables]
    cases += [numbers(seed, 40, -40, 38) for seed in range(200)]
    options = {"reduction": "sum"}
    results = typescript(
        [{"kind": "L1Loss", "options": options, "input": x, "target": np.zeros_like(x)} for x in cases]
    )
    for x, (part, value, _) in zip(cases, results, strict=True):
        assert bits(smooth_l1.value(part)) == value, x
    weights = np.array([1, -1, -1], np.float32)
    loss = smooth_l1.L1Loss(reduction="sum")
    assert bits(loss(np.array([1, 1, 0], np.float32), np.zeros(3, np.float32), weights)) == bits(0.0)


def test_nothing_and_everything_masked():
    empty = np.zeros(0, np.float32)
    assert bits(smooth_l1.L1Loss()(empty, empty)) == bits(np.nan)
    assert smooth_l1.L1Loss(reduction="sum")(empty, empty) == 0
    assert smooth_l1.L1Loss(on_zero_divisor="zero")(empty, empty) == 0
    part = smooth_l1.L1Loss(divisor="unmasked").partial(X, T, mask=np.zeros(len(X), bool))
    assert smooth_l1.count(part) == len(X)
    assert bits(smooth_l1.value(part)) == bits(np.nan)
    assert smooth_l1.merge([LOSS.partial(empty, empty, empty), PART]) == PART


def patched(part, at, values):
    return part[:at] + bytes(values) + part[at + len(values) :]


WRONG = [
    (b"", ValueError, "part is truncated: there are 0 of 128 bytes"),
    (PART[:127], ValueError, "part is truncated: there are 127 of 128 bytes"),
    (PART + b"\0", ValueError, "part is inconsistent: there are 129 bytes, not 128"),
    (b"PK" + PART[2:], ValueError, "part is something else: its bytes begin with 80, 75, not with 83, 76"),
    (patched(PART, 2, [2]), ValueError, "part is of version 2, which is newer than this package knows, 1"),
    (patched(PART, 2, [0]), ValueError, "part is inconsistent: there is no version 0"),
    (patched(PART, 3, [PART[3] | 128]), ValueError, "inconsistent: byte 3 is "),
    (patched(PART, 11, [64]), ValueError, "inconsistent: byte 11 is 64, not 0"),
    (patched(PART, 12, struct.pack("<f", -1)), ValueError, "the threshold must be a number from 0, got -1.0"),
    (patched(PART, 12, struct.pack("<f", -0.0)), ValueError, "inconsistent: byte 15 is 128, not 0"),
    (patched(PART, 16, [1]), ValueError, "inconsistent: byte 16 is 1, not 0"),
    (patched(PART, 20, struct.pack("<d", 1e300)), ValueError, "scale must be within the range of float32"),
    (patched(PART, 28, struct.pack("<d", -1)), ValueError, "min_divisor must be a finite number from 0, got -1.0"),
    (patched(PART, 4, [0] * 7), ValueError, "inconsistent: a sum is too large for 0 elements"),
    (patched(PART, 4, [0] * 6 + [32]), ValueError, "inconsistent: there are 9007199254740992 elements"),
    (patched(PART, 82, [1]), ValueError, "inconsistent: a sum is too large for 5000 elements"),
    (patched(SUM, 30, [1]), ValueError, "inconsistent: byte 30 is 1, not 0"),
    (patched(SUM, 100, [1]), ValueError, "inconsistent: byte 100 is 1, not 0"),
    (patched(ROWS, 92, struct.pack("<d", 3)), ValueError, "inconsistent: 5000 elements are no rows of 3"),
    (patched(ROWS, 92, struct.pack("<d", 0.5)), ValueError, "row_length must be an integer from 1, got 0.5"),
    (patched(ROWS, 84, struct.pack("<d", 1251)), ValueError, "inconsistent: 1251 of 1250 count"),
    (patched(ROWS, 84, struct.pack("<d", np.nan)), ValueError, "inconsistent: nan elements or rows count"),
    ("text", TypeError, "part must be the bytes of a partial loss, got 'text'"),
    (np.frombuffer(PART, np.uint8), TypeError, "must be the bytes of a partial loss, got a numpy array of uint8"),
]


@pytest.mark.parametrize(("part", "error", "message"), WRONG, ids=lambda x: "")
def test_wrong_bytes(part, error, message):
    with pytest.raises(error, match=re.escape(message)):
        smooth_l1.value(part)
    with pytest.raises(error, match=re.escape(message.replace("part ", "parts[1] ", 1))):
        smooth_l1.merge([PART, part])


def test_every_changed_byte_is_another_loss_or_an_error():
    # No byte is without a meaning.
    for at in range(128):
        other = patched(PART, at, [PART[at] ^ 1])
        try:
            assert smooth_l1.merge([other]) != PART
        except ValueError:
            continue


OTHERS = [
    (smooth_l1.HuberLoss(delta=0.3), "kind: it is 'smooth L1' in parts[0], and 'Huber' in parts[1]"),
    (
        smooth_l1.SmoothL1Loss(beta=0.4),
        "beta: it is 0.30000001192092896 in parts[0], and 0.4000000059604645 in parts[1]",
    ),
    (smooth_l1.SmoothL1Loss(beta=0.3), "scale: it is 0.1 in parts[0], and 1.0 in parts[1]"),
    (smooth_l1.SmoothL1Loss(beta=0.3, scale=0.1, reduction="sum"), "reduction: it is 'mean' in parts[0], and 'sum' in"),
    (smooth_l1.SmoothL1Loss(beta=0.3, scale=0.1), "divisor: it is 'weights' in parts[0], and 'elements' in parts[1]"),
    (
        smooth_l1.SmoothL1Loss(beta=0.3, scale=0.1, divisor="weights"),
        "min_divisor: it is 2.0 in parts[0], and None in parts[1]",
    ),
]


@pytest.mark.parametrize(("loss", "message"), OTHERS, ids=lambda x: "")
def test_parts_of_another_loss(loss, message):
    with pytest.raises(TypeError, match=re.escape(f"merge: the losses differ in {message}")):
        smooth_l1.merge([PART, loss.partial(X, T, WEIGHT)])


def test_wrong_parts():
    with pytest.raises(ValueError, match="merge: parts is empty; a loss of nothing is the partial of empty arrays"):
        smooth_l1.merge([])
    with pytest.raises(TypeError, match="merge: parts must be an iterable of partial losses, got one bytes"):
        smooth_l1.merge(PART)
    most = patched(smooth_l1.L1Loss(reduction="sum").partial(X * 0, X * 0), 4, [255] * 6 + [31])
    with pytest.raises(ValueError, match=re.escape("merge: there would be more than 2^53 - 1 elements")):
        smooth_l1.merge([most, most])
