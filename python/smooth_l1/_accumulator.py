"""Exact sums, and the 128 bytes that they are sent and stored in: docs/accumulators.md says what each is."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from . import _job

BYTES = 128
_VERSION = 1
_LIMIT = 2**53
_SUM_DIGITS = _job.EXACT_WORDS - 1
# The highest digit of the sum of the weights has the sign alone, and is not written.
_WEIGHT_DIGITS = _SUM_DIGITS - 1
_SUM_AT, _DIVISOR_AT, _ROW_AT = 36, 84, 92
# The smallest f32, the unit of sums, is 1 / UNIT.
_UNIT = 2**149
LARGEST = float(np.finfo(np.float32).max)

LOSSES = ("smooth L1", "Huber", "L1", "quantile Huber")
SMOOTH_L1, HUBER, L1, QUANTILE_HUBER = range(4)
# What a sum is divided by, by its number in the bytes.
DIVISORS = (
    "",
    "elements",
    "rows",
    "weights",
    "nonzero_weights",
    "unmasked",
    "number",
    "unmasked_rows",
)


def as_float32(value: float) -> float:
    """Round a number to the nearest f32; to infinity beyond the range."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


@dataclass(frozen=True)
class ExactSum:
    """A sum of f32 values as an integer in units of 2^-149, and which of them were not finite."""

    total: int = 0
    specials: int = 0

    @classmethod
    def from_words(cls, words: np.ndarray) -> ExactSum:
        """Read it as the kernel leaves it."""
        return cls(int.from_bytes(words[:-1].astype("<u4").tobytes(), "little", signed=True), int(words[-1]))

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.total + other.total, self.specials | other.specials)

    def value(self) -> float:
        """Round it once, to the nearest f64, of two that are as near to the even one."""
        if self.specials == 0:
            # A division of integers is rounded correctly.
            return self.total / _UNIT
        if self.specials == _job.special.INFINITY:
            return math.inf
        return -math.inf if self.specials == _job.special.MINUS_INFINITY else math.nan

    def can_be_of(self, count: int) -> bool:
        """Whether so many f32 values can have this sum."""
        return abs(self.total / _UNIT) <= count * LARGEST and (count > 0 or self.specials == 0)


@dataclass(frozen=True)
class LossSpec:
    """What a sum is of, and what is made of it in the end; the same for all parts that are added."""

    kind: int
    threshold: float
    tau: float
    scale: float
    # One of DIVISORS; "" for the reduction "sum".
    divisor: str
    # Where the divisor is "number", it.
    number: float
    # Where the divisor counts rows, their length; else 0.
    row_length: int
    # Minus infinity: none.
    min_divisor: float
    zero_on_zero: bool

    @property
    def counts_rows(self) -> bool:
        """Whether the length of rows belongs to the divisor."""
        return self.divisor in ("rows", "unmasked_rows")

    def named(self) -> dict[str, object]:
        """The values by the names that errors give them."""
        threshold = "beta" if self.kind == SMOOTH_L1 else "delta"
        return {
            "kind": LOSSES[self.kind],
            threshold: self.threshold,
            "tau": self.tau,
            "scale": self.scale,
            "reduction": "mean" if self.divisor else "sum",
            "divisor": self.number if self.divisor == "number" else self.divisor,
            "row_length": self.row_length,
            "min_divisor": None if self.min_divisor == -math.inf else self.min_divisor,
            "on_zero_divisor": "zero" if self.zero_on_zero else "nan",
        }


def _is_same(a: object, b: object) -> bool:
    """Whether two values are the same, signs of zeros included; NaN is NaN."""
    if isinstance(a, float) and isinstance(b, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    return a == b


@dataclass(frozen=True)
class Accumulator:
    """The sums of some elements."""

    spec: LossSpec
    count: int = 0
    losses: ExactSum = field(default_factory=ExactSum)
    # Where the weights divide.
    weights: ExactSum = field(default_factory=ExactSum)
    # Weights that are not 0, or elements or rows that are not masked, where these divide.
    counted: int = 0

    def value(self) -> float:
        """The loss."""
        divisor = self._divisor()
        if divisor == 0:
            return 0.0 if self.spec.zero_on_zero else math.nan
        return self.losses.value() * self.spec.scale / divisor

    def _divisor(self) -> float:
        spec = self.spec
        if spec.divisor == "":
            return 1.0
        if spec.divisor == "elements":
            value = float(self.count)
        elif spec.divisor == "rows":
            value = self.count / spec.row_length
        elif spec.divisor == "weights":
            value = self.weights.value()
        elif spec.divisor == "number":
            value = spec.number
        else:
            value = float(self.counted)
        # NaN stays NaN.
        return value if value != value else max(value, spec.min_divisor)

    def join(self, other: Accumulator, name: str) -> Accumulator:
        """Add another one, which errors call `name`."""
        mine, theirs = self.spec.named(), other.spec.named()
        for key, value in mine.items():
            if not _is_same(value, theirs.get(key)):
                raise TypeError(
                    f"merge: the losses differ in {key}: it is {value!r} in parts[0], and {theirs.get(key)!r} in {name}"
                )
        count = self.count + other.count
        if count >= _LIMIT:
            raise ValueError("merge: there would be more than 2^53 - 1 elements")
        return replace(
            self,
            count=count,
            losses=self.losses + other.losses,
            weights=self.weights + other.weights,
            counted=self.counted + other.counted,
        )

    def to_bytes(self) -> bytes:
        """All of it, in 128 bytes."""
        spec = self.spec
        specials = self.losses.specials | self.weights.specials << 3
        out = bytearray(BYTES)
        kinds = spec.kind | DIVISORS.index(spec.divisor) << 2 | spec.zero_on_zero << 5
        out[:4] = b"SL" + bytes((_VERSION, kinds))
        out[4:12] = self.count.to_bytes(7, "little") + bytes((specials,))
        struct.pack_into("<ff", out, 12, spec.threshold, spec.tau)
        # NaN is written in one way.
        scale = spec.scale if spec.scale == spec.scale else math.nan
        struct.pack_into("<dd", out, 20, scale, spec.min_divisor if spec.divisor else 0.0)
        out[_SUM_AT:_DIVISOR_AT] = self.losses.total.to_bytes(4 * _SUM_DIGITS, "little", signed=True)
        if spec.divisor == "weights":
            out[_DIVISOR_AT:] = self.weights.total.to_bytes(4 * _WEIGHT_DIGITS, "little", signed=True)
        elif spec.divisor == "rows":
            struct.pack_into("<d", out, _DIVISOR_AT, spec.row_length)
        elif spec.divisor == "number":
            struct.pack_into("<d", out, _DIVISOR_AT, spec.number)
        else:
            struct.pack_into("<d", out, _DIVISOR_AT, self.counted)
        if spec.divisor == "unmasked_rows":
            struct.pack_into("<d", out, _ROW_AT, spec.row_length)
        return bytes(out)

    @classmethod
    def from_bytes(cls, part: object, name: str) -> Accumulator:
        """Read what `to_bytes` wrote, here or in TypeScript. Errors call it `name`."""
        if not isinstance(part, bytes | bytearray | memoryview):
            raise TypeError(f"{name} must be the bytes of a partial loss, got {describe(part)}")
        own = bytes(part)
        if len(own) < BYTES:
            raise ValueError(f"{name} is truncated: there are {len(own)} of {BYTES} bytes")
        if own[:2] != b"SL":
            raise ValueError(f"{name} is something else: its bytes begin with {own[0]}, {own[1]}, not with 83, 76")
        if own[2] > _VERSION:
            raise ValueError(f"{name} is of version {own[2]}, which is newer than this package knows, {_VERSION}")

        def check(is_right: bool, what: str) -> None:
            if not is_right:
                raise ValueError(f"{name} is inconsistent: {what}")

        check(len(own) == BYTES, f"there are {len(own)} bytes, not {BYTES}")
        check(own[2] == _VERSION, f"there is no version {own[2]}")
        self = cls._read(own, check)
        again = self.to_bytes()
        wrong = next((i for i in range(BYTES) if own[i] != again[i]), None)
        # What means nothing is 0, and a number is written in one way.
        check(wrong is None, "" if wrong is None else f"byte {wrong} is {own[wrong]}, not {again[wrong]}")
        spec = self.spec
        check(self.count < _LIMIT, f"there are {self.count} elements")
        if spec.counts_rows:
            rows = self.count % spec.row_length == 0
            check(rows, f"{self.count} elements are no rows of {spec.row_length}")
        most = self.count // spec.row_length if spec.divisor == "unmasked_rows" else self.count
        check(self.counted <= most, f"{self.counted} of {most} count")
        for exact in (self.losses, self.weights):
            check(exact.can_be_of(self.count), f"a sum is too large for {self.count} elements")
        return self

    @classmethod
    def _read(cls, own: bytes, check: Callable[[bool, str], None]) -> Accumulator:
        """Read fields, and check those that nothing could be made of."""
        kind, divisor = own[3] & 3, DIVISORS[own[3] >> 2 & 7]
        threshold, tau, scale, min_divisor = struct.unpack_from("<ffdd", own, 12)
        number, rows = struct.unpack_from("<dd", own, _DIVISOR_AT)
        if divisor == "rows":
            rows = number
        if divisor in ("rows", "unmasked_rows"):
            is_length = rows >= 1 and rows < math.inf and rows == int(rows)
            check(is_length, f"row_length must be an integer from 1, got {rows}")
        if kind != L1:
            check(threshold >= 0, f"the threshold must be a number from 0, got {threshold}")
        if kind == QUANTILE_HUBER:
            check(0 <= tau <= 1, f"tau must be a number from 0 to 1, got {tau}")
        is_scale = not math.isfinite(scale) or math.isfinite(as_float32(scale))
        check(is_scale, f"scale must be within the range of float32 (3.4028e38), got {scale}")
        if divisor == "number":
            check(0 <= number < math.inf, f"divisor must be a finite number from 0, got {number}")
        if divisor:
            is_least = min_divisor == -math.inf or 0 <= min_divisor < math.inf
            check(is_least, f"min_divisor must be a finite number from 0, got {min_divisor}")
        counts = divisor in ("nonzero_weights", "unmasked", "unmasked_rows")
        if counts:
            check(0 <= number < math.inf and number == int(number), f"{number} elements or rows count")
        divides = divisor == "weights"
        spec = LossSpec(
            kind=kind,
            # Not -0.
            threshold=0.0 if kind == L1 else threshold + 0.0,
            tau=tau + 0.0 if kind == QUANTILE_HUBER else 0.0,
            scale=scale,
            divisor=divisor,
            number=number if divisor == "number" else 0.0,
            row_length=int(rows) if divisor in ("rows", "unmasked_rows") else 0,
            min_divisor=min_divisor if divisor else -math.inf,
            zero_on_zero=bool(divisor and own[3] & 32),
        )
        return cls(
            spec=spec,
            count=int.from_bytes(own[4:11], "little"),
            losses=ExactSum(int.from_bytes(own[_SUM_AT:_DIVISOR_AT], "little", signed=True), own[11] & 7),
            weights=ExactSum(int.from_bytes(own[_DIVISOR_AT:], "little", signed=True), own[11] >> 3 & 7)
            if divides
            else ExactSum(),
            counted=int(number) if counts else 0,
        )


def describe(value: object) -> str:
    """What errors say of a wrong value."""
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"a numpy array of {value.dtype.name}"
    return f"a {type(value).__name__}"


def merge(parts: Iterable[bytes]) -> bytes:
    """Add partial losses, in any order: the result has the same bits as one over all of their elements.

    The parts are what `partial` returns, here or on other machines, the `toBytes()` of a `LossAccumulator`
    in TypeScript, or files that `smooth-l1 --partial` wrote.

    Raises:
        TypeError: for what is no bytes, and if the parts are of different losses.
        ValueError: without any part, and for bytes that are truncated, of something else, of a newer version,
            or inconsistent.

    >>> import numpy as np, smooth_l1
    >>> loss = smooth_l1.L1Loss()
    >>> x = np.array([1, -3, 5, 0], np.float32)
    >>> parts = [loss.partial(x[i : i + 2], np.zeros(2, np.float32)) for i in (2, 0)]
    >>> smooth_l1.value(smooth_l1.merge(parts))
    2.25
    """
    if isinstance(parts, bytes | bytearray | memoryview | str):
        raise TypeError(f"merge: parts must be an iterable of partial losses, got one {type(parts).__name__}")
    result = None
    for i, part in enumerate(parts):
        name = f"parts[{i}]"
        more = Accumulator.from_bytes(part, f"merge: {name}")
        result = more if result is None else result.join(more, name)
    if result is None:
        raise ValueError(
            "merge: parts is empty; a loss of nothing is the partial of empty arrays, which knows its loss"
        )
    return result.to_bytes()


def value(part: bytes) -> float:
    """The loss of everything that was added up. The mean of nothing is NaN.

    Raises:
        TypeError: for what is no bytes.
        ValueError: for bytes that are truncated, of something else, of a newer version, or inconsistent.

    >>> import numpy as np, smooth_l1
    >>> loss = smooth_l1.SmoothL1Loss(beta=0.5, reduction="sum")
    >>> smooth_l1.value(loss.partial(np.array([0.25, 3, -1], np.float32), np.zeros(3, np.float32)))
    3.5625
    """
    return Accumulator.from_bytes(part, "value: part").value()


def count(part: bytes) -> int:
    """The number of elements that were added up, masked ones included.

    >>> import numpy as np, smooth_l1
    >>> smooth_l1.count(smooth_l1.L1Loss().partial(np.ones(5, np.float32), np.ones(5, np.float32)))
    5
    """
    return Accumulator.from_bytes(part, "count: part").count
