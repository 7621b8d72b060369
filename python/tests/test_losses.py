"""Partial losses have the bytes of TypeScript's accumulators, for all options and all arrays."""

import gc
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from conftest import bits, numbers

import smooth_l1
from smooth_l1 import _kernel

N = 1300
X, T = numbers(1, N), numbers(2, N, -20, 6)
WEIGHT = numbers(3, N, -9, 3)
WEIGHT[::5] = 0
MASK = (np.arange(N) % 7 != 0) & (np.arange(N) % 100 > 30)
# The rows 3 and 4 of four are masked wholly.
MASK[12:20] = False
MISSING = T.copy()
MISSING[::3] = np.nan
MISSING[40:48] = np.nan
# They are not missing.
MISSING[1::9] = 0
MARKED = T.copy()
MARKED[::3] = 255
MARKED[40:48] = 255
ODD = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, -3e38, 3e38], np.float32)
ROWS, COLUMNS = numbers(4, N // 4, -3, 3), numbers(5, 4, -3, 3)

CAMEL = {"ignore_nan": "ignoreNaNTargets", "inside_weight": "insideWeights"}


def camel(name):
    return CAMEL.get(name) or re.sub("_(.)", lambda m: m[1].upper(), name)


def case(kind, options, call=None, input=X, target=T, typescript=None):  # noqa: A002
    """A case for both sides. `typescript` has arguments that are given otherwise there."""
    theirs = {camel(name): camel(v) if isinstance(v, str) else v for name, v in options.items()}
    if theirs.get("divisor") in ("weights", "nonzeroWeights"):
        theirs["weight"] = 1
    given = {camel(name): v.view(np.uint8) if name == "mask" else v for name, v in (call or {}).items()}
    return {
        "mine": lambda: getattr(smooth_l1, kind)(**options).partial(input, target, **(call or {})),
        "kind": kind,
        "options": theirs,
        "input": np.ascontiguousarray(input),
        "target": np.ascontiguousarray(target),
        "call": {**given, **(typescript or {})},
    }


def check(typescript, cases):
    results = typescript([{key: value for key, value in one.items() if key != "mine"} for one in cases])
    for one, (their_bytes, their_value, their_count) in zip(cases, results, strict=True):
        mine = one["mine"]()
        label = (one["kind"], one["options"], list(one["call"]))
        assert mine.hex() == their_bytes.hex(), label
        assert bits(smooth_l1.value(mine)) == their_value, label
        assert smooth_l1.count(mine) == their_count, label


def test_every_option(typescript):
    row, column = {"perRow": ROWS}, {"perColumn": COLUMNS}
    rows, columns = ROWS[:, None], COLUMNS[None]
    check(
        typescript,
        [
            case("SmoothL1Loss", {}),
            case("SmoothL1Loss", {"beta": 0.3, "reduction": "sum", "scale": -3}),
            case("SmoothL1Loss", {"sigma": 3, "scale": 0.1}),
            case("HuberLoss", {"delta": 0.7}, {"weight": WEIGHT}),
            case("HuberLoss", {"delta": np.inf}, {"weight": 0.3, "inside_weight": 1.7}),
            case("L1Loss", {}, {"inside_weight": WEIGHT, "weight": WEIGHT, "mask": MASK}),
            case("QuantileHuberLoss", {"delta": 0.5, "tau": 0.9}),
            case("QuantileHuberLoss", {"tau": 1}, {"mask": MASK.astype(np.uint8) * 200}),
            case("L1Loss", {"divisor": "rows", "row_length": 4}),
            case("L1Loss", {"divisor": "weights", "min_divisor": 2}, {"weight": WEIGHT, "mask": MASK}),
            case("L1Loss", {"divisor": "weights"}, {"weight": 0.1}),
            case("L1Loss", {"divisor": "weights"}, {"weight": np.tile(ODD, N)[:N]}),
            case("L1Loss", {"divisor": "nonzero_weights"}, {"weight": WEIGHT, "mask": MASK}),
            case("L1Loss", {"divisor": "unmasked", "on_zero_divisor": "zero"}, {"mask": MASK}),
            case("L1Loss", {"divisor": "unmasked", "on_zero_divisor": "zero"}, {"mask": MASK & False}),
            case("L1Loss", {"divisor": "unmasked", "ignore_nan": True}, target=MISSING),
            case("L1Loss", {"ignore_nan": True}, {"mask": MASK}, target=MISSING),
            case("L1Loss", {"divisor": "unmasked", "ignore_value": 255}, target=MARKED),
            case("SmoothL1Loss", {"ignore_value": 255}, {"mask": MASK, "weight": WEIGHT}, target=MARKED),
            case("L1Loss", {"divisor": "unmasked", "ignore_value": 0}, target=MISSING),
            case("L1Loss", {"divisor": "unmasked", "ignore_value": -0.0, "ignore_nan": True}, target=MISSING),
            case(
                "L1Loss",
                {"reduction": "sum", "ignore_value": np.inf},
                input=np.tile(ODD[3:], 8),
                target=np.repeat(ODD, 5),
            ),
            case("L1Loss", {"divisor": "unmasked", "ignore_value": 0.1}, target=np.full(N, 0.1, np.float32)),
            case("L1Loss", {"divisor": "unmasked_rows", "row_length": 4, "ignore_value": 255}, target=MARKED),
            case(
                "L1Loss",
                {"divisor": "unmasked_rows", "row_length": 4, "ignore_value": 0, "ignore_nan": True},
                {"mask": MASK},
                target=MISSING,
            ),
            case("L1Loss", {"divisor": "unmasked_rows", "row_length": 4}),
            case("L1Loss", {"divisor": "unmasked_rows", "row_length": 4}, {"mask": MASK}),
            case("L1Loss", {"divisor": "unmasked_rows", "row_length": 4, "ignore_nan": True}, target=MISSING),
            case(
                "L1Loss",
                {"divisor": "unmasked_rows", "row_length": 4, "ignore_nan": True},
                {"mask": MASK[: N // 4]},
                target=MISSING,
                typescript={"rowLength": 4},
            ),
            case("L1Loss", {"divisor": 12.5}),
            case("L1Loss", {"divisor": 0}),
            case("SmoothL1Loss", {}, input=np.tile(ODD, 8), target=np.repeat(ODD, 8)),
            case("SmoothL1Loss", {}, input=np.tile(ODD[3:], 5), target=np.repeat(ODD[3:], 5)),
            # One value for each row or column, by length and by shape.
            case("L1Loss", {"row_length": 4}, {"weight": ROWS}),
            case("L1Loss", {"row_length": 4}, {"weight": rows}, typescript={"weight": row}),
            case("L1Loss", {"row_length": 4}, {"inside_weight": COLUMNS}),
            case("L1Loss", {"row_length": 4}, {"weight": columns}, typescript={"weight": column}),
            case("L1Loss", {"row_length": 4, "divisor": "weights"}, {"weight": ROWS, "mask": MASK[: N // 4]}),
            case(
                "L1Loss",
                {},
                {"weight": COLUMNS},
                input=X.reshape(-1, 4),
                target=T.reshape(-1, 4),
                typescript={"rowLength": 4},
            ),
            case(
                "L1Loss",
                {},
                {"weight": rows},
                input=X.reshape(-1, 4),
                target=T.reshape(-1, 4),
                typescript={"rowLength": 4, "weight": row},
            ),
        ],
    )


def test_every_threshold(typescript):
    random = np.random.default_rng(7)
    thresholds = [0, -0.0, 2.0**-149, 2.0**-140, 2.9e-39, 3e-39, 2.0**-126, 1e-3, 8.5e37, 8.6e37, 3.4e38, np.inf]
    thresholds += [float(x) for x in 10 ** random.uniform(-45, 38.5, 150)]
    x, t = np.concatenate([X, ODD[3:]]), np.concatenate([T, ODD[3:]])
    check(
        typescript,
        [
            case(kind, {name: threshold, "reduction": "sum"}, input=x, target=t)
            for kind, name in (("SmoothL1Loss", "beta"), ("HuberLoss", "delta"))
            for threshold in thresholds
        ]
        + [case("SmoothL1Loss", {"sigma": sigma}, input=x, target=t) for sigma in (0, 1e-19, 0.1, 3, 1e25, np.inf)],
    )


def test_16_bits(typescript):
    with np.errstate(over="ignore"):
        float16 = np.concatenate([X, ODD]).astype(np.float16)
    half = {
        "float16": float16,
        "bfloat16": np.concatenate([X, ODD[3:]]).astype(ml_dtypes.bfloat16),
    }
    check(
        typescript,
        [
            case("SmoothL1Loss", {"reduction": "sum"}, input=half["float16"], target=half["float16"][::-1]),
            case("SmoothL1Loss", {"reduction": "sum"}, input=half["float16"][:N], target=T),
            case("SmoothL1Loss", {"reduction": "sum"}, input=half["bfloat16"], target=half["bfloat16"][::-1]),
            case("SmoothL1Loss", {"reduction": "sum"}, input=X, target=half["bfloat16"][:N]),
            case(
                "L1Loss",
                {"divisor": "unmasked_rows", "row_length": 4, "ignore_nan": True},
                input=X,
                target=MISSING.astype(ml_dtypes.bfloat16),
            ),
        ],
    )


def test_an_ignored_value_is_rounded_to_the_type_of_target_once(typescript):
    # The second is just above the middle of two bfloat16, the third of two float16, and float32 rounds it away.
    values = [0.1, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-11 + 2.0**-40, -(1 + 2.0**-8 - 2.0**-40), 2.0**-24.5, 65504.5]
    divisors = [{"divisor": "unmasked"}, {"divisor": "unmasked_rows", "row_length": 4}]
    cases = []
    for dtype, step in ((np.float16, 2.0**-10), (ml_dtypes.bfloat16, 2.0**-7)):
        target = np.tile(np.array([1, 1 + step, -1, -1 - step, 0.1, 2.0**-24, 65504, 0], dtype), 4)
        target[8:16] = target[:8].repeat(4)[:8]
        cases += [
            case("L1Loss", {**divisor, "ignore_value": value}, input=target[::-1], target=target)
            for value in values
            for divisor in divisors
        ]
    check(typescript, cases)
    for dtype, name in ((np.float16, "float16"), (ml_dtypes.bfloat16, "bfloat16")):
        loss = smooth_l1.L1Loss(ignore_value=3.4e38)
        with pytest.raises(ValueError, match=f"within the range of target, which is {name}, got 3.4e"):
            loss(np.zeros(1, dtype), np.zeros(1, dtype))


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1023, _kernel.CHUNK, 2 * _kernel.CHUNK + 4])
def test_every_length(typescript, n):
    x, t, mask = numbers(n, n), numbers(n + 1, n), numbers(n + 2, n) > 0
    options = {"divisor": "unmasked", "on_zero_divisor": "zero"}
    cases = [case("SmoothL1Loss", {}, input=x, target=t), case("L1Loss", options, {"mask": mask}, x, t)]
    check(typescript, cases)


def test_rows_longer_than_a_chunk(typescript):
    length = _kernel.CHUNK + 3
    x, t, columns = numbers(1, 2 * length), numbers(2, 2 * length), numbers(3, length)
    options = {"row_length": length}
    cases = [
        case("L1Loss", options, {"weight": columns}, x, t, {"rowLength": length}),
        case("L1Loss", options, {"weight": columns[:2]}, x, t, {"rowLength": length}),
        case(
            "L1Loss",
            {"divisor": "unmasked_rows", "row_length": length},
            {"mask": np.array([True, False])},
            x,
            t,
        ),
    ]
    check(typescript, cases)


def test_arrays_in_any_place_and_order():
    loss = smooth_l1.SmoothL1Loss(beta=0.3, divisor="weights")
    n = 3 * 2 * 50_021
    x, t, w = (numbers(seed, n).reshape(3, 2, -1) for seed in (1, 2, 3))
    mask = numbers(4, n).reshape(3, 2, -1) > 0
    wanted = loss.partial(x, t, w, mask)
    ways = {
        "flat": np.ravel,
        "in Fortran's order": np.asfortranarray,
        "every second of a longer array": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
        "backwards": lambda a: a[:, ::-1, ::-1].copy()[:, ::-1, ::-1],
        "in the other byte order": lambda a: a.astype(a.dtype.newbyteorder(">")),
        "read-only": lambda a: np.broadcast_to(a, a.shape),
        "at an odd address": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, a.size, 1).reshape(a.shape),
        "field of a record": lambda a: a.astype([("a", "u1"), ("b", a.dtype)])["b"],
    }
    for name, way in ways.items():
        assert loss.partial(*map(way, (x, t, w, mask))) == wanted, name
    # Each in another way.
    a, b = ways["in Fortran's order"], ways["backwards"]
    assert loss.partial(x, a(t), b(w), a(mask)) == wanted
    halves = [np.clip(a, -9, 9).astype(np.float16) for a in (x, t)]
    swapped = [half.astype(">f2") for half in halves]
    assert smooth_l1.L1Loss().partial(*halves) == smooth_l1.L1Loss().partial(*swapped)
    point = np.array(3, np.float32)
    assert smooth_l1.L1Loss()(point, np.array(6, np.float32)) == 3


def test_contiguous_arrays_are_copied_into_the_module_alone():
    loss = smooth_l1.L1Loss()
    x, t = numbers(1, 2**22), numbers(2, 2**22)
    loss(x, t)
    gc.collect()
    tracemalloc.start()
    loss(x, t)
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    loss(x[::2], t[::2])
    strided = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole < 2**16
    # A buffer of one chunk for each array, where it is not contiguous.
    assert strided < 2 * 4 * _kernel.CHUNK + 2**16


def test_a_memory_map_is_read_where_it_is(tmp_path):
    x = numbers(1, 100_000).reshape(100, -1)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    loss = smooth_l1.L1Loss()
    assert loss.partial(mapped, mapped * 2) == loss.partial(x, x * 2)


def test_threads_take_turns():
    loss = smooth_l1.SmoothL1Loss()
    arrays = [(numbers(i, 300_000), numbers(-i % 7, 300_000)) for i in range(4)]
    wanted = [loss.partial(*pair) for pair in arrays]
    wrong = []

    def work(i):
        wrong.extend(i for _ in range(10) if loss.partial(*arrays[i]) != wanted[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_forked_process_starts_anew(is_compiled, monkeypatch):
    loss = smooth_l1.SmoothL1Loss()
    wanted = loss.partial(X, T)
    store = _kernel._kernel._store
    if not is_compiled:
        # As if another thread were compiling.
        monkeypatch.setattr(_kernel, "_compiled", None)
    reading, writing = os.pipe()
    # As if another thread were in the middle of a call.
    with _kernel._lock:
        child = os.fork()
        if child == 0:
            # What waits for a thread that it does not have waits forever.
            signal.alarm(60)
            part = loss.partial(X, T)
            os.write(writing, part if _kernel._kernel._store is not store else b"the parent's store")
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == wanted
    assert os.waitpid(child, 0)[1] == 0
    assert loss.partial(X, T) == wanted


def test_losses_can_be_sent_to_other_processes():
    loss = smooth_l1.HuberLoss(delta=0.3, divisor="rows", row_length=4)
    assert pickle.loads(pickle.dumps(loss)).partial(X, T) == loss.partial(X, T)


def test_a_call_is_the_value_of_its_part():
    loss = smooth_l1.SmoothL1Loss(divisor="weights")
    assert loss(X, T, WEIGHT, MASK) == smooth_l1.value(loss.partial(X, T, WEIGHT, MASK))


WRONG = [
    ({"beta": -1}, ValueError, "SmoothL1Loss: beta must be a number from 0, got -1.0"),
    ({"beta": np.nan}, ValueError, "SmoothL1Loss: beta must be a number from 0, got nan"),
    ({"beta": "1"}, TypeError, "SmoothL1Loss: beta must be a number, got '1'"),
    ({"beta": True}, TypeError, "SmoothL1Loss: beta must be a number, got True"),
    ({"beta": 1e39}, ValueError, "SmoothL1Loss: beta must be within the range of float32 (3.4028e38), got 1e+39"),
    ({"beta": 1, "sigma": 2}, TypeError, "beta (1) and sigma (2) both set the threshold"),
    ({"sigma": 1e-20}, ValueError, "sigma must give a beta, 1 / sigma^2, within the range of float32"),
    ({"delta": 1}, TypeError, "unexpected keyword argument 'delta'"),
    ({"reduction": "none"}, ValueError, "reduction must be one of 'mean', 'sum', got 'none'"),
    ({"reduction": None}, TypeError, "reduction must be one of 'mean', 'sum', got None"),
    ({"scale": "2"}, TypeError, "scale must be a number, got '2'"),
    ({"scale": 1e300}, ValueError, "scale must be within the range of float32 (3.4028e38), got 1e+300"),
    ({"ignore_nan": 1}, TypeError, "ignore_nan must be True or False, got 1"),
    ({"ignore_value": "255"}, TypeError, "ignore_value must be a number, got '255'"),
    ({"ignore_value": True}, TypeError, "ignore_value must be a number, got True"),
    ({"ignore_value": 1e39}, ValueError, "ignore_value must be within the range of float32 (3.4028e38), got 1e+39"),
    (
        {"ignore_value": np.nan},
        ValueError,
        "ignore_value must not be NaN, which equals nothing; ignore_nan=True leaves",
    ),
    ({"row_length": 4.0}, TypeError, "row_length must be an integer, got 4.0"),
    ({"row_length": 0}, ValueError, "row_length must be an integer from 1, got 0"),
    ({"divisor": "unmaskedRows"}, ValueError, "got 'unmaskedRows'; did you mean 'unmasked_rows'?"),
    ({"divisor": -1}, ValueError, "divisor must be a finite number from 0, got -1.0"),
    ({"divisor": None}, TypeError, "divisor must be a number or one of 'elements', 'rows', 'weights', "),
    ({"divisor": "rows"}, TypeError, 'divisor "rows" needs row_length, which is missing'),
    ({"min_divisor": np.inf}, ValueError, "min_divisor must be a finite number from 0, got inf"),
    ({"on_zero_divisor": "one"}, ValueError, "on_zero_divisor must be one of 'nan', 'zero', got 'one'"),
    (
        {"reduction": "sum", "min_divisor": 1},
        TypeError,
        'min_divisor has a use only with reduction "mean", got "sum"',
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=str)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        smooth_l1.SmoothL1Loss(**options)


def test_wrong_options_of_other_losses():
    with pytest.raises(ValueError, match=re.escape("QuantileHuberLoss: tau must be a number from 0 to 1, got 2.0")):
        smooth_l1.QuantileHuberLoss(tau=2)
    with pytest.raises(ValueError, match=re.escape("HuberLoss: delta must be a number from 0, got -2.0")):
        smooth_l1.HuberLoss(-2)


WRONG_ARRAYS = [
    ({}, ([1.0], T), {}, TypeError, "partial: input must be a numpy array of float32, float16 or bfloat16, got a list"),
    ({}, (X.astype("f8"), T), {}, TypeError, "got an array of float64; input.astype(numpy.float32) rounds it"),
    ({}, (X, T.astype("i4")), {}, TypeError, "got an array of int32; target.astype(numpy.float32) rounds it"),
    ({}, (X, T.astype("c8")), {}, TypeError, "target must be a numpy array of float32, float16 or bfloat16"),
    ({}, (np.ma.masked_invalid(X), T), {}, TypeError, "input is a masked array; give its data, and mask=~input.mask"),
    ({}, (X, T[:4]), {}, ValueError, "input has shape (1300,) and target has shape (4,); they must be equal"),
    (
        {},
        (X.reshape(4, -1), T.reshape(-1, 4)),
        {},
        ValueError,
        "input has shape (4, 325) and target has shape (325, 4)",
    ),
    ({}, (X, T), {"mask": WEIGHT}, TypeError, "mask must be a numpy array of bool or uint8, got an array of float32"),
    ({}, (X, T), {"mask": [True]}, TypeError, "mask must be a numpy array of bool or uint8, got a list"),
    ({}, (X, T), {"weight": "w"}, TypeError, "weight must be a number or a numpy array of float32, got 'w'"),
    ({}, (X, T), {"weight": np.ones(N, "f2")}, TypeError, "got an array of float16; weight.astype(numpy.float32)"),
    ({}, (X, T), {"weight": 1e39}, ValueError, "weight must be within the range of float32 (3.4028e38), got 1e+39"),
    (
        {},
        (X, T),
        {"weight": X[:4]},
        ValueError,
        "partial: weight has shape (4,); it must be (1300,), one value for each element; with row_length, one for each",
    ),
    (
        {"row_length": 4},
        (X, T),
        {"mask": MASK[:5]},
        ValueError,
        "mask has shape (5,); it must be (1300,), one value for each element, or (325, 1), one for each row, or (1, 4)",
    ),
    (
        {"row_length": 4},
        (X[:16], T[:16]),
        {"inside_weight": X[:4]},
        ValueError,
        "inside_weight has shape (4,), which fits the rows as well as the columns; say which: (4, 1) or (1, 4)",
    ),
    ({"row_length": 7}, (X, T), {}, ValueError, "partial: row_length 7 does not divide 1300, the size of input"),
    ({"divisor": "weights"}, (X, T), {}, TypeError, 'partial: divisor "weights" needs weight, which is missing'),
]


@pytest.mark.parametrize(("options", "arrays", "call", "error", "message"), WRONG_ARRAYS, ids=lambda x: "")
def test_wrong_arrays(options, arrays, call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        smooth_l1.L1Loss(**options).partial(*arrays, **call)


def test_nothing_is_imported_that_is_not_used():
    code = "import sys, smooth_l1; print(sorted({'ray', 'pyspark', 'pyarrow', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
