"""PyTorch's side of bench/gpu_linear.lua: the same products on the same GPU.

Arguments: SHAPES ROUNDS SECONDS. SHAPES is a JSON list of [rows, K, N, form of GELU or false].
Prints one JSON line: {"seconds": [{"forward": s, "dgrad": s, "wgrad": s}, ...],
"version": ..., "device": ...}. A measurement is enough back-to-back launches to
last SECONDS; the best of ROUNDS counts.
"""

import torch
import torch.nn.functional as F
from gpu_clock import report


def products(rows, inputs, outputs, gelu):
    def random(*dims, std=1.0):
        return torch.randn(*dims, device="cuda", dtype=torch.bfloat16) * std

    x, dy, w, bias = random(rows, inputs), random(rows, outputs), random(outputs, inputs, std=0.02), random(outputs)
    forward = (lambda: F.gelu(F.linear(x, w, bias), approximate=gelu)) if gelu else (lambda: F.linear(x, w, bias))
    return {"forward": forward, "dgrad": lambda: dy @ w, "wgrad": lambda: (dy.t() @ x, dy.sum(0))}


with torch.no_grad():
    report(products)
