"""The losses: their options, what the kernel is told of them, and the arrays of a call."""

from __future__ import annotations

import difflib
import math
import numbers

import numpy as np

from . import _job, _kernel
from ._accumulator import (
    DIVISORS,
    HUBER,
    L1,
    LARGEST,
    QUANTILE_HUBER,
    SMOOTH_L1,
    Accumulator,
    LossSpec,
    as_float32,
    describe,
)

_SMALLEST = 2.0**-149
_SMALLEST_NORMAL = 2.0**-126
_CHOICES = {
    "reduction": ("mean", "sum"),
    "divisor": tuple(name for name in DIVISORS if name not in ("", "number")),
    "on_zero_divisor": ("nan", "zero"),
}
_COUNTED = {
    "weights": _job.count.EXACT_WEIGHTS,
    "nonzero_weights": _job.count.NONZERO,
    "unmasked": _job.count.UNMASKED,
}


def _smooth_l1_curve(beta: float) -> tuple[float, ...]:
    """The numbers `pre`, `inv`, `lim` and `half` of crate/loss.rs, as ts/loss.ts makes them."""
    if beta == 0:
        # Brings even the smallest residual to a slope of 1, and leaves 0 at 0.
        return 2.0**24, LARGEST, 1.0, 0.0
    if beta == math.inf:
        # Brings even the largest residual to a slope of 0, and leaves infinity where it is.
        return _SMALLEST, _SMALLEST, 1.0, 0.0
    inverse = 1 / beta
    # A power of two keeps the inverse a normal number, and so exact to its last bit.
    pre = 2.0**24 if inverse > LARGEST else 2.0**-24 if inverse < _SMALLEST_NORMAL else 1.0
    return pre, _inverse_of(as_float32(beta * pre)), 1.0, as_float32(beta / 2)


def _inverse_of(beta: float) -> float:
    """The inverse, rounded so that the slope at the kink is exactly 1."""
    inverse = as_float32(1 / beta)
    if as_float32(beta * inverse) < 1:
        return float(np.nextafter(np.float32(inverse), np.float32(math.inf)))
    return inverse


def _huber_curve(delta: float) -> tuple[float, ...]:
    return 1.0, 1.0, delta, 0.5


def _number(owner: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner}: {name} must be a number, got {describe(value)}")
    return float(value)


def _float32(owner: str, name: str, value: object) -> float:
    """A number that is not beyond the range of f32."""
    value = _number(owner, name, value)
    if math.isfinite(value) and not math.isfinite(as_float32(value)):
        raise ValueError(f"{owner}: {name} must be within the range of float32 (3.4028e38), got {value}")
    return value


def _one_of(owner: str, name: str, value: object) -> str:
    choices = _CHOICES[name]
    if isinstance(value, str) and value in choices:
        return value
    listed = ", ".join(map(repr, choices))
    text = f"{owner}: {name} must be {'a number or ' if name == 'divisor' else ''}one of {listed}"
    if isinstance(value, str):
        close = difflib.get_close_matches(value, choices, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{text}, got {value!r}{hint}")
    raise TypeError(f"{text}, got {describe(value)}")


class _Loss:
    """A loss with its options, which never change."""

    def __init__(
        self,
        kind: int,
        curve: tuple[float, ...],
        threshold: float,
        tau: float | None,
        *,
        reduction: str = "mean",
        scale: float = 1.0,
        ignore_nan: bool = False,
        ignore_value: float | None = None,
        row_length: int | None = None,
        divisor: str | float = "elements",
        min_divisor: float | None = None,
        on_zero_divisor: str = "nan",
    ) -> None:
        owner = type(self).__name__
        is_mean = _one_of(owner, "reduction", reduction) == "mean"
        scale = _float32(owner, "scale", scale)
        if not isinstance(ignore_nan, bool | np.bool_):
            raise TypeError(f"{owner}: ignore_nan must be True or False, got {describe(ignore_nan)}")
        if ignore_value is not None:
            ignore_value = _float32(owner, "ignore_value", ignore_value)
            if math.isnan(ignore_value):
                raise ValueError(
                    f"{owner}: ignore_value must not be NaN, which equals nothing; ignore_nan=True leaves out the "
                    "targets that are NaN"
                )
        if row_length is not None:
            if isinstance(row_length, bool) or not isinstance(row_length, numbers.Integral):
                raise TypeError(f"{owner}: row_length must be an integer, got {describe(row_length)}")
            if row_length < 1:
                raise ValueError(f"{owner}: row_length must be an integer from 1, got {row_length}")
        if isinstance(divisor, str):
            number = 0.0
            divisor = _one_of(owner, "divisor", divisor)
        elif isinstance(divisor, bool) or not isinstance(divisor, numbers.Real):
            _one_of(owner, "divisor", divisor)
        else:
            number = _number(owner, "divisor", divisor)
            if not 0 <= number < math.inf:
                raise ValueError(f"{owner}: divisor must be a finite number from 0, got {number}")
            divisor = "number"
        if min_divisor is not None:
            min_divisor = _number(owner, "min_divisor", min_divisor)
            if not 0 <= min_divisor < math.inf:
                raise ValueError(f"{owner}: min_divisor must be a finite number from 0, got {min_divisor}")
        zero_on_zero = _one_of(owner, "on_zero_divisor", on_zero_divisor) == "zero"
        if not is_mean:
            has_use = (divisor == "elements", min_divisor is None, not zero_on_zero)
            for name, is_default in zip(("divisor", "min_divisor", "on_zero_divisor"), has_use, strict=True):
                if not is_default:
                    raise TypeError(f'{owner}: {name} has a use only with reduction "mean", got "sum"')
        if divisor in ("rows", "unmasked_rows") and row_length is None:
            raise TypeError(f'{owner}: divisor "{divisor}" needs row_length, which is missing')
        self._spec = LossSpec(
            kind=kind,
            threshold=threshold,
            tau=0.0 if tau is None else as_float32(tau) + 0.0,
            scale=scale,
            divisor=divisor if is_mean else "",
            number=number,
            row_length=int(row_length) if divisor in ("rows", "unmasked_rows") else 0,
            min_divisor=-math.inf if min_divisor is None else min_divisor,
            zero_on_zero=zero_on_zero,
        )
        self._curve = (*curve, 1.0, 1.0) if tau is None else (*curve, tau, 1 - tau)
        self._row_length = row_length
        self.ignores_nan = bool(ignore_nan)
        self._ignore_value = ignore_value

    def __call__(
        self,
        input: np.ndarray,  # noqa: A002
        target: np.ndarray,
        weight: float | np.ndarray | None = None,
        mask: np.ndarray | None = None,
        *,
        inside_weight: float | np.ndarray | None = None,
    ) -> float:
        """The loss of these elements: `value(partial(...))`."""
        return self._add_up(type(self).__name__, input, target, weight, mask, inside_weight).value()

    def partial(
        self,
        input: np.ndarray,  # noqa: A002
        target: np.ndarray,
        weight: float | np.ndarray | None = None,
        mask: np.ndarray | None = None,
        *,
        inside_weight: float | np.ndarray | None = None,
    ) -> bytes:
        """The exact sum of these elements, in 128 bytes for `merge` and `value`.

        Args:
            input: an array of float32, float16 or ml_dtypes.bfloat16, of any shape and in any memory layout.
            target: another of the same shape; the two types may differ.
            weight: multiplies the losses. A number, or float32 of the shape of input, or one value for each
                row or column: see the class.
            mask: bool or uint8, of the same shapes. Where it is 0 or False, the element is left out, whatever
                its values.
            inside_weight: multiplies the residuals, `input - target`; given like weight.

        Raises:
            TypeError: for arrays of other types.
            ValueError: for arrays of other shapes.
        """
        return self._add_up("partial", input, target, weight, mask, inside_weight).to_bytes()

    def nothing(self) -> bytes:
        """The partial loss of no elements."""
        return Accumulator(self._spec).to_bytes()

    def _add_up(self, fn, input, target, weight, mask, inside_weight) -> Accumulator:  # noqa: A002
        spec = self._spec
        if spec.divisor in ("weights", "nonzero_weights") and weight is None:
            raise TypeError(f'{fn}: divisor "{spec.divisor}" needs weight, which is missing')
        values = {
            _job.operand.INPUT: _floats(fn, "input", input),
            _job.operand.TARGET: _floats(fn, "target", target),
        }
        ignored = self._ignored_by(fn, target)
        counted = _COUNTED.get(spec.divisor, _job.count.NOTHING)
        job = _kernel.Job(self._curve, counted, self.ignores_nan, ignored)
        if input.shape != target.shape:
            raise ValueError(
                f"{fn}: input has shape {input.shape} and target has shape {target.shape}; they must be equal"
            )
        if self._row_length is not None and input.size % self._row_length:
            raise ValueError(f"{fn}: row_length {self._row_length} does not divide {input.size}, the size of input")
        for operand, name, given in (
            (_job.operand.INSIDE, "inside_weight", inside_weight),
            (_job.operand.OUTSIDE, "weight", weight),
        ):
            if isinstance(given, numbers.Real) and not isinstance(given, bool):
                job.number(operand, _float32(fn, name, given))
            elif given is not None:
                values[operand] = _typed(fn, name, given, "a number or a numpy array of float32", np.float32)
        if mask is not None:
            mask = _typed(fn, "mask", mask, "a numpy array of bool or uint8", np.bool_, np.uint8)
            values[_job.operand.MASK] = mask.view(np.uint8)
        values = self._fitted(fn, values)
        for operand, array in values.items():
            layout = _job.layout.FULL
            if operand <= _job.operand.TARGET and array.dtype.itemsize == 2:
                is_bfloat16 = array.dtype.name == "bfloat16"
                layout = _job.layout.BFLOAT16 if is_bfloat16 else _job.layout.FLOAT16
                array = array.view(np.dtype(np.uint16).newbyteorder(array.dtype.byteorder))
            job.array(operand, array, layout)
        losses, weights, counted = _kernel.compute(job)
        if spec.divisor == "unmasked_rows":
            counted = self._unmasked_rows(values, ignored)
        return Accumulator(spec, input.size, losses, weights, counted)

    def _fitted(self, fn: str, values: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Bring the arrays into shapes that NumPy spreads over each other."""
        shape = values[_job.operand.INPUT].shape
        others = [operand for operand in values if values[operand].shape != shape]
        if not others:
            return values
        row_length = self._row_length or (shape[-1] if len(shape) > 1 else None)
        rows = values[_job.operand.INPUT].size // row_length if row_length else None
        fitted = dict(values)
        if row_length and not (len(shape) > 1 and shape[-1] == row_length):
            shape = (rows, row_length)
            for operand in values.keys() - others:
                fitted[operand] = values[operand].reshape(shape)
        names = {
            _job.operand.INSIDE: "inside_weight",
            _job.operand.OUTSIDE: "weight",
            _job.operand.MASK: "mask",
        }
        for operand in others:
            array = values[operand]
            # As NumPy spreads it over the others.
            if array.ndim == len(shape) > 1 and all(a in (1, b) for a, b in zip(array.shape, shape, strict=True)):
                continue
            is_row = row_length is not None and array.shape in ((rows,), (rows, 1), (*shape[:-1], 1))
            is_column = row_length is not None and array.shape in ((row_length,), (1, row_length))
            start = f"{fn}: {names[operand]} has shape {array.shape}"
            if is_row and is_column and rows != 1 and row_length != 1:
                raise ValueError(
                    f"{start}, which fits the rows as well as the columns; say which: ({rows}, 1) or (1, {row_length})"
                )
            if is_row:
                fitted[operand] = array.reshape((*shape[:-1], 1))
            elif is_column:
                fitted[operand] = array.reshape((row_length,))
            else:
                choices = [f"{values[_job.operand.INPUT].shape}, one value for each element"]
                if row_length:
                    choices.append(f"({rows}, 1), one for each row")
                    choices.append(f"(1, {row_length}), one for each column")
                hint = "" if row_length else "; with row_length, one for each row or column"
                raise ValueError(f"{start}; it must be {', or '.join(choices)}{hint}")
        return fitted

    def _ignored_by(self, fn: str, target: np.ndarray) -> float | None:
        """What a target equals that is left out: ignore_value, rounded to the type of target."""
        value = self._ignore_value
        if value is None:
            return None
        with np.errstate(over="ignore"):
            nearest = _nearest(target.dtype, value)
        if math.isfinite(value) and not math.isfinite(nearest):
            raise ValueError(
                f"{fn}: ignore_value must be within the range of target, which is {target.dtype.name}, got {value}"
            )
        return nearest

    def _unmasked_rows(self, values: dict[int, np.ndarray], ignored: float | None) -> int:
        """The number of rows that have an element that is not masked; the kernel does not count them."""
        row_length = self._spec.row_length
        target, mask = values[_job.operand.TARGET], values.get(_job.operand.MASK)
        rows = target.size // row_length
        if mask is None and not self.ignores_nan and ignored is None:
            return rows
        if mask is not None:
            mask = np.broadcast_to(mask, target.shape).reshape(rows, row_length)
        target = target.reshape(rows, row_length)
        counted = 0
        step = max(1, _kernel.CHUNK // row_length)
        for row in range(0, rows, step):
            block = slice(row, row + step)
            counts = np.ones(target[block].shape, bool) if mask is None else mask[block] != 0
            if self.ignores_nan:
                counts &= ~np.isnan(target[block])
            if ignored is not None:
                counts &= target[block].astype(np.float32) != np.float32(ignored)
            counted += int(counts.any(axis=1).sum())
        return counted


def _typed(fn: str, name: str, value: object, wanted: str, *types: type) -> np.ndarray:
    """The array, if it is of one of the types, in either byte order."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{fn}: {name} must be {wanted}, got {describe(value)}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{fn}: {name} is a masked array; give its data, and mask=~{name}.mask")
    if value.dtype.newbyteorder("=") not in types:
        hint = "" if np.bool_ in types or value.dtype.kind not in "fiu" else f"; {name}.astype(numpy.float32) rounds it"
        raise TypeError(f"{fn}: {name} must be {wanted}, got an array of {value.dtype.name}{hint}")
    return value


def _nearest(dtype: np.dtype, value: float) -> float:
    """The number of the type that is nearest to the value."""
    if dtype.name != "bfloat16":
        return float(dtype.type(value))
    # It is made of a float32, which is made odd where it is not exact: two roundings could round a tie wrongly.
    single = np.float32(value)
    if float(single) != value and math.isfinite(value):
        if abs(float(single)) > abs(value):
            single = np.nextafter(single, np.float32(0))
        single = (single.view(np.uint32) | np.uint32(1)).view(np.float32)
    return float(dtype.type(single))


def _floats(fn: str, name: str, value: object) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":
        return value
    wanted = "a numpy array of float32, float16 or bfloat16"
    return _typed(fn, name, value, wanted, np.float32, np.float16)


def _threshold(owner: str, name: str, value: object) -> float:
    value = _number(owner, name, value)
    if not value >= 0:
        raise ValueError(f"{owner}: {name} must be a number from 0, got {value}")
    return _float32(owner, name, value)


def _rounded(threshold: float) -> float:
    """As f32, not -0."""
    return as_float32(threshold) + 0.0


class SmoothL1Loss(_Loss):
    """Smooth L1 loss: `0.5 * d**2 / beta` where `|d| < beta`, else `|d| - beta / 2`, of `d = input - target`.

    Sums are exact: integers in units of 2^-149 that are rounded once. So any cut of the data into partial
    losses, merged in any order on any number of machines, gives the same 64 bits.

    Args:
        beta: the threshold, from 0, as f32; 1 by default. 0 is the L1 loss.
        sigma: sets it in another way, beta = 1 / sigma^2.
        reduction: "mean" or "sum".
        scale: multiplies the loss.
        ignore_nan: leaves out the elements whose target is NaN. The mean still divides by all elements, unless
            the divisor is "unmasked".
        ignore_value: leaves out the elements whose target equals this number, rounded to the type of target, as a
            sentinel such as -1 or 255; `ignore_nan` and a mask may leave out others. The mean divides as with these.
        row_length: the number of columns, where the elements are rows. With it, and for arrays of two or more
            dimensions, whose rows are along the last one, a weight or a mask may have one value for each row,
            of shape (rows,) or (rows, 1), or for each column, of shape (columns,) or (1, columns).
        divisor: what a mean divides by: "elements", "rows", "weights" (their sum), "nonzero_weights" (their
            number), "unmasked" (the number of elements that are not left out), "unmasked_rows" (the number of
            rows that have such an element), or a number.
        min_divisor: the mean divides by at least this.
        on_zero_divisor: "nan", or "zero": the mean is 0 where the divisor is 0.

    Raises:
        TypeError: for an option of a wrong type, or without a use.
        ValueError: for an option of a wrong value.

    >>> import numpy as np, smooth_l1
    >>> loss = smooth_l1.SmoothL1Loss(beta=0.5)
    >>> prediction, target = np.array([0.25, 3, -1], np.float32), np.zeros(3, np.float32)
    >>> loss(prediction, target)
    1.1875
    >>> parts = [loss.partial(prediction[2:], target[2:]), loss.partial(prediction[:2], target[:2])]
    >>> len(parts[0]), smooth_l1.value(smooth_l1.merge(parts))
    (128, 1.1875)
    >>> boxes, weight = np.ones((2, 4), np.float16), np.array([[2], [0]], np.float32)
    >>> smooth_l1.SmoothL1Loss(sigma=3, divisor="weights")(boxes, boxes * 0, weight)
    0.9444444179534912
    """

    def __init__(self, beta: float | None = None, sigma: float | None = None, **options) -> None:
        owner = type(self).__name__
        if beta is not None and sigma is not None:
            raise TypeError(
                f"{owner}: beta ({beta}) and sigma ({sigma}) both set the threshold, beta = 1 / sigma^2; "
                "give one of them"
            )
        if sigma is None:
            threshold = _threshold(owner, "beta", 1.0 if beta is None else beta)
        else:
            sigma = _threshold(owner, "sigma", sigma)
            square = sigma * sigma
            threshold = math.inf if square == 0 else 1 / square
            if sigma > 0 and threshold > LARGEST:
                raise ValueError(
                    f"{owner}: sigma must give a beta, 1 / sigma^2, within the range of float32 (3.4028e38), "
                    f"got {sigma}"
                )
        threshold = _rounded(threshold)
        super().__init__(SMOOTH_L1, _smooth_l1_curve(threshold), threshold, None, **options)


class HuberLoss(_Loss):
    """Huber loss: `0.5 * d**2` where `|d| < delta`, else `delta * (|d| - delta / 2)`, of `d = input - target`.

    Args:
        delta: the threshold, from 0, as f32. Infinity is half the squared error.
        options: those of `SmoothL1Loss`.

    >>> import numpy as np, smooth_l1
    >>> smooth_l1.HuberLoss(delta=2)(np.array([1, -3], np.float32), np.zeros(2, np.float32))
    2.25
    """

    def __init__(self, delta: float = 1.0, **options) -> None:
        threshold = _rounded(_threshold(type(self).__name__, "delta", delta))
        super().__init__(HUBER, _huber_curve(threshold), threshold, None, **options)


class QuantileHuberLoss(_Loss):
    """Quantile Huber loss: that of Huber, times `tau` where `input < target`, else times `1 - tau`.

    Args:
        delta: as that of `HuberLoss`.
        tau: from 0 to 1.
        options: those of `SmoothL1Loss`.

    >>> import numpy as np, smooth_l1
    >>> loss = smooth_l1.QuantileHuberLoss(tau=0.75, reduction="sum")
    >>> loss(np.array([1, -3], np.float32), np.zeros(2, np.float32))
    2.0
    """

    def __init__(self, delta: float = 1.0, tau: float = 0.5, **options) -> None:
        owner = type(self).__name__
        threshold = _rounded(_threshold(owner, "delta", delta))
        tau = _number(owner, "tau", tau)
        if not 0 <= tau <= 1:
            raise ValueError(f"{owner}: tau must be a number from 0 to 1, got {tau}")
        super().__init__(QUANTILE_HUBER, _huber_curve(threshold), threshold, tau, **options)


class L1Loss(_Loss):
    """L1 loss: `|d|` of `d = input - target`.

    Args:
        options: those of `SmoothL1Loss`.

    >>> import numpy as np, smooth_l1
    >>> target = np.array([0, np.nan], np.float32)
    >>> smooth_l1.L1Loss(ignore_nan=True, divisor="unmasked")(np.array([1, -3], np.float32), target)
    1.0
    """

    def __init__(self, **options) -> None:
        super().__init__(L1, _smooth_l1_curve(0.0), 0.0, None, **options)
