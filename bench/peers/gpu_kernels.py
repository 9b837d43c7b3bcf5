"""PyTorch's side of bench/gpu_kernels.lua: the same work in eager PyTorch.

Arguments: ROWS MASKED PARAMETERS ROUNDS SECONDS. Prints one JSON line:
{"rows": [{"name": ..., "bytes": ..., "seconds": ...}, ...], "version": ...,
"device": ...}. A measurement is enough back-to-back launches to last SECONDS;
the best of ROUNDS counts.
"""

import json
import sys

import torch
import torch.nn.functional as F
from gpu_clock import seconds_of

HIDDEN, VOCABULARY = 1024, 30528


def random(*dims):
    return torch.randn(*dims, device="cuda", dtype=torch.bfloat16)


def layernorm(rows):
    x, residual, dy = random(rows, HIDDEN).requires_grad_(), random(rows, HIDDEN).requires_grad_(), random(rows, HIDDEN)
    gamma = torch.ones(HIDDEN, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    beta = torch.zeros(HIDDEN, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    def forward():
        return F.layer_norm(F.dropout(x, 0.1) + residual, (HIDDEN,), gamma, beta, 1e-12)

    y = forward()
    size = 2 * rows * HIDDEN
    yield "layernorm forward", 4 * size, forward
    inputs = (x, residual, gamma, beta)
    yield "layernorm backward", 4 * size, lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def cross_entropy(masked):
    logits = random(masked, VOCABULARY).requires_grad_()
    labels = torch.randint(VOCABULARY, (masked,), device="cuda")

    def forward():
        return F.cross_entropy(logits, labels)

    loss = forward()
    size = 2 * masked * VOCABULARY
    yield "cross-entropy forward", size, forward
    yield "cross-entropy backward", 2 * size, lambda: torch.autograd.grad(loss, logits, retain_graph=True)


def elementwise(rows):
    x, z, row, y = random(rows, HIDDEN), random(rows, HIDDEN), random(HIDDEN), random(rows, HIDDEN)
    mask = x > z
    size = 2 * rows * HIDDEN
    yield "add", 3 * size, lambda: torch.add(x, z, out=y)
    yield "mul with a row", 2 * size, lambda: torch.mul(x, row, out=y)
    yield "silu", 2 * size, lambda: F.silu(x)
    yield "compare", 2.5 * size, lambda: torch.gt(x, z, out=mask)
    yield "where", 3.5 * size, lambda: torch.where(mask, x, z, out=y)
    yield "sum of each row", size, lambda: x.sum(1)
    yield "sum of each column", size, lambda: x.sum(0)
    yield "argmax of each row", size, lambda: x.argmax(1)


def adamw(parameters):
    p = torch.nn.Parameter(torch.randn(parameters, device="cuda") * 0.02)
    p.grad = torch.randn(parameters, device="cuda") * 1e-3
    step = torch.optim.AdamW([p], lr=1e-6, fused=True)
    yield "AdamW", 28 * parameters, step.step


def main():
    rows, masked, parameters, rounds = (int(word) for word in sys.argv[1:5])
    least = float(sys.argv[5])
    torch.manual_seed(1)
    result = []
    for make, size in ((layernorm, rows), (cross_entropy, masked), (adamw, parameters)):
        for name, count, work in make(size):
            work()
            best = min(seconds_of(work, least) for _ in range(rounds))
            result.append({"name": name, "bytes": count, "seconds": best})
        torch.cuda.empty_cache()
    print(json.dumps({"rows": result, "version": torch.__version__, "device": torch.cuda.get_device_name()}))


main()
