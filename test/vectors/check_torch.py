"""Holds vectors.json and outside.json against PyTorch.

Each case is composed from torch's own losses: forward in float32 and float64, gradients by autograd
and the Hessian by double backward in float64, the threshold's derivative by central differences.
"""

import json
import math
import pathlib
import sys
from collections import Counter

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
NAMED = {"nan", "inf", "-inf", "-0"}
GRADIENTS = ("gradInput", "gradInsideWeights", "gradOutsideWeights")


def decode(pairs):
    return {key: value if key == "onZeroDivisor" else number(value) for key, value in pairs}


def number(value):
    if isinstance(value, list):
        return [number(x) for x in value]
    return float(value) if isinstance(value, str) and value in NAMED else value


def read(name):
    return json.loads((HERE / name).read_text(), object_pairs_hook=decode)["cases"]


def f32(x):
    return torch.tensor(x, dtype=torch.float32).double().tolist()


class Case:
    """A case with its layouts spread out to one value for each element."""

    def __init__(self, case):
        self.form, self.options = case["form"], case["options"]
        self.input, self.target = f32(case["input"]), f32(case["target"])
        self.n = len(self.input)
        self.row_length = self.options.get("rowLength", max(self.n, 1))
        self.threshold = self.spread(self.per_column_threshold())
        self.inside = self.spread(self.options.get("insideWeights", 1))
        self.outside = self.spread(self.options.get("outsideWeights", 1))
        self.upstream = self.spread(self.options.get("gradOutput", 1))
        mask = self.spread(self.options.get("mask", 1))
        ignore = self.options.get("ignoreNaNTargets", False)
        ignored = [ignore and math.isnan(t) for t in self.target]
        self.counts = [m != 0 and not i for m, i in zip(mask, ignored)]
        self.e = [w * (x - t) for w, x, t in zip(self.inside, self.input, self.target)]
        self.reduction = self.options.get("reduction", "mean")

    def per_column_threshold(self):
        beta = self.options.get("beta", self.options.get("delta", 1))
        if "sigma" in self.options:
            beta = 1 / self.options["sigma"] ** 2
        return {"perColumn": f32(beta)} if isinstance(beta, list) else f32(beta)

    def spread(self, layout):
        if isinstance(layout, (int, float)):
            return [layout] * self.n
        if isinstance(layout, list):
            return layout
        if "perRow" in layout:
            return [layout["perRow"][i // self.row_length] for i in range(self.n)]
        return [layout["perColumn"][i % self.row_length] for i in range(self.n)]


def torch_loss(form, threshold, e):
    zero = torch.zeros_like(e)
    if form == "l1":
        return F.l1_loss(e, zero, reduction="none")
    if form == "huber":
        return F.huber_loss(e, zero, reduction="none", delta=threshold)
    return F.smooth_l1_loss(e, zero, reduction="none", beta=threshold)


def divisor_of(case, outside):
    kind = case.options.get("divisor", "elements")
    count = {
        "elements": lambda: case.n,
        "rows": lambda: case.n / case.row_length,
        "weights": outside.sum,
        "nonzeroWeights": lambda: (outside != 0).sum(),
        "unmasked": lambda: len(outside),
    }.get(kind, lambda: kind)()
    count = torch.as_tensor(count, dtype=outside.dtype)
    return count.clamp(min=case.options["minDivisor"]) if "minDivisor" in case.options else count


def run(case, dtype, nudge=1):
    """The loss, the upstream-weighted total and the tensors to differentiate it by."""
    values = (case.input, case.inside, case.outside)
    leaves = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in values]
    counts = torch.tensor(case.counts, dtype=torch.bool)
    # Selected, not multiplied by zero: what is masked may be NaN.
    x, inside, outside = (leaf[counts] for leaf in leaves)
    e = inside * (x - torch.tensor(case.target, dtype=dtype)[counts])
    threshold = torch.tensor(case.threshold, dtype=torch.float64)[counts]
    each = torch.zeros_like(e)
    for t in set(threshold.tolist()):
        each[threshold == t] = torch_loss(case.form, t * nudge, e[threshold == t])
    each = outside * each * case.options.get("scale", 1)
    divisor = divisor_of(case, outside) if case.reduction == "mean" else 1
    full = torch.zeros(case.n, dtype=dtype)
    full[counts] = each
    total = (each * torch.tensor(case.upstream, dtype=dtype)[counts]).sum() / divisor
    if case.reduction == "none":
        return full, total, leaves
    if case.reduction == "rows":
        return full.reshape(-1, case.row_length).sum(1), total, leaves
    return each.sum() / divisor, total, leaves


def run_plain(case, dtype):
    """The same by one call, where torch has the whole of it."""
    x, target = (torch.tensor(v, dtype=dtype) for v in (case.input, case.target))
    t = case.threshold[0] if case.n else 1
    if case.form == "l1":
        return F.l1_loss(x, target, reduction=case.reduction)
    if case.form == "huber":
        return F.huber_loss(x, target, reduction=case.reduction, delta=t)
    return F.smooth_l1_loss(x, target, reduction=case.reduction, beta=t)


def is_plain(case):
    beyond = set(case.options) - {"beta", "sigma", "delta", "reduction", "rowLength", "gradOutput"}
    return not beyond and case.reduction != "rows" and len(set(case.threshold)) <= 1


def derivatives(case):
    _, total, leaves = run(case, torch.float64)
    grads = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
    hessian = torch.zeros(case.n)
    if grads[0].requires_grad:
        (hessian,) = torch.autograd.grad(grads[0].sum(), leaves[0], materialize_grads=True)
    return dict(zip((*GRADIENTS, "hessian"), (*grads, hessian)))


def threshold_difference(case):
    h = 1e-6
    up, down = (run(case, torch.float64, 1 + s)[1] for s in (h, -h))
    return (up - down) / (2 * h * case.threshold[0])


def unsupported(case):
    """Why torch cannot express a case, if it cannot."""
    if case.form == "huber" and 0 in case.threshold:
        return "huber_loss refuses delta 0"
    if case.reduction == "mean":
        outside = torch.tensor(case.outside)[torch.tensor(case.counts, dtype=torch.bool)]
        nothing = case.n == 0 and case.options.get("onZeroDivisor") != "zero"
        if divisor_of(case, outside) == 0 and not nothing:
            return "torch has no rule for a divisor of 0"
    return None


def deviation(case, i, output, dtype):
    """Why torch's number at element i is known to be another one, if it is."""
    e = abs(case.e[i])
    t = 0 if case.form == "l1" else case.threshold[i]
    if output == "hessian" and math.isnan(e):
        return "the second derivative at NaN is 0 in torch"
    if output in GRADIENTS and t == 0 and math.isnan(e):
        return "the gradient at NaN is 0 in torch when beta is 0"
    if output == "loss" and e == t == math.inf:
        return "the loss at infinity is NaN in torch when the threshold is infinite"
    if output == "loss" and dtype == torch.float32 and 0 < e < t and not 2**-126 <= e * e < 2**128:
        return "d * d leaves the range of float32 in torch"
    return None


def ulp_of(x):
    return 2.0 ** (max(-126, math.floor(math.log2(abs(x)))) - 23) if x else 2.0**-149


def allowed(tolerance, output, x, exact):
    absolute = tolerance.get("absolute", {}).get(output, 0)
    if exact:
        return max(1e-12 * abs(x), 1e-6 * absolute)
    return max(tolerance["ulp"] * ulp_of(x), absolute)


class Check:
    def __init__(self):
        self.numbers, self.left_out, self.wrong = 0, Counter(), []

    def leave_out(self, reason, count=1):
        self.left_out[reason] += count

    def compare(self, raw, case, output, actual, dtype=torch.float64, exact=True):
        expected = raw["expected"][output]
        if not isinstance(expected, list):
            expected = [expected]
        by_element = len(expected) == case.n and isinstance(raw["expected"][output], list)
        for i, (x, a) in enumerate(zip(expected, actual.reshape(-1).tolist(), strict=True)):
            behind = [i] if by_element else range(case.n)
            reasons = (deviation(case, j, output, dtype) for j in behind if case.counts[j])
            reason = next(filter(None, reasons), None)
            if reason:
                self.leave_out(reason)
                continue
            self.numbers += 1
            x = f32(x) if dtype == torch.float32 else x
            same = a == x or (math.isnan(a) and math.isnan(x))
            close = math.isfinite(x) and abs(a - x) <= allowed(raw["tolerance"], output, x, exact)
            if not (same or close):
                self.wrong.append(f"{raw['name']}: {output}[{i}] is {a} in {dtype}, not {x}")

    def case(self, raw, exact):
        case = Case(raw)
        reason = unsupported(case)
        if reason:
            lists = (v if isinstance(v, list) else [v] for v in raw["expected"].values())
            self.leave_out(reason, sum(map(len, lists)))
            return
        if "loss" in raw["expected"]:
            for dtype in (torch.float64, torch.float32):
                precise = exact and dtype == torch.float64
                self.compare(raw, case, "loss", run(case, dtype)[0], dtype, precise)
                if is_plain(case):
                    self.compare(raw, case, "loss", run_plain(case, dtype), dtype, precise)
        for output, actual in derivatives(case).items():
            if output in raw["expected"]:
                self.compare(raw, case, output, actual, exact=exact)
        if "thresholdGrad" in raw["expected"]:
            self.threshold_grad(raw, case)

    def threshold_grad(self, raw, case):
        counted = [abs(e) for e, counts in zip(case.e, case.counts) if counts]
        if not counted or not all(e < 1e4 for e in counted) or not 0.01 < case.threshold[0] < 100:
            self.leave_out("no usable central difference")
            return
        self.numbers += 1
        x, a = raw["expected"]["thresholdGrad"], threshold_difference(case).item()
        if abs(a - x) > 1e-4 * (1 + abs(x)):
            self.wrong.append(f"{raw['name']}: thresholdGrad is {a}, not {x}")


def main():
    check = Check()
    files = {"vectors.json": True, "outside.json": False}
    cases = [(raw, exact) for name, exact in files.items() for raw in read(name)]
    for raw, exact in cases:
        check.case(raw, exact)
    print(f"PyTorch {torch.__version__}: {len(cases)} cases, {check.numbers} numbers compared.")
    for reason, count in check.left_out.most_common():
        print(f"  {count} left out: {reason}")
    for line in check.wrong:
        print(line)
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
