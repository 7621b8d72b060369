"""PyTorch on the CPU, eager, as a contender: see ../remote.ts for what is asked and answered.

    python torch_bench.py INPUT TARGET

Contenders: `eager`. Forward is torch.nn.functional.smooth_l1_loss; backward its own kernel with a
given output, the part of autograd that does the work; fused is forward and autograd's backward.
"""

import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

BETA = 1.0
MEAN = 1


def prepare(operation, n, windows, threads):
    """A function that does a call on window w, and the gradients by window."""
    torch.set_num_threads(threads)
    pieces = [slice(w * n, (w + 1) * n) for w in range(windows)]
    inputs = [INPUT[piece] for piece in pieces]
    targets = [TARGET[piece] for piece in pieces]
    grads = [None] * windows
    if operation == "forward":

        def call(w):
            return F.smooth_l1_loss(inputs[w], targets[w], beta=BETA).item()

    elif operation == "backward":
        one = torch.ones(())
        grads = [torch.full((n,), float("nan")) for _ in pieces]
        backward = torch.ops.aten.smooth_l1_loss_backward.grad_input

        def call(w):
            backward(one, inputs[w], targets[w], MEAN, BETA, grad_input=grads[w])

    else:
        inputs = [tensor.requires_grad_() for tensor in inputs]

        def call(w):
            inputs[w].grad = None
            loss = F.smooth_l1_loss(inputs[w], targets[w], beta=BETA)
            loss.backward()
            return loss.item()

    def gradient(w):
        return inputs[w].grad if operation == "fused" else grads[w]

    return call, gradient, windows


def answer(line):
    global race, following
    words = line.split()
    if words[0] == "prepare":
        _, contender, operation, n, windows, threads = words
        race = prepare(operation, int(n), int(windows), int(threads))
        following = 0
        return "ok" if contender == "eager" else "no"
    call, gradient, windows = race
    if words[0] == "time":
        start = time.perf_counter()
        for _ in range(int(words[1])):
            call(following)
            following = following + 1 if following + 1 < windows else 0
        return repr((time.perf_counter() - start) * 1e3)
    if words[0] == "check":
        loss = call(0)
        if gradient(0) is not None:
            gradient(0).detach().numpy().astype("<f4").tofile(words[1])
        return repr(0.0 if loss is None else loss)
    raise ValueError(f"what is '{line}'?")


INPUT, TARGET = (torch.from_numpy(np.fromfile(path, dtype="<f4")) for path in sys.argv[1:3])
print("ready", torch.__version__, flush=True)
for line in sys.stdin:
    print(answer(line), flush=True)
