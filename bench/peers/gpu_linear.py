"""PyTorch's side of bench/gpu_linear.lua: the same products on the same GPU.

Arguments: SHAPES ROUNDS SECONDS. SHAPES is a JSON list of [rows, K, N, gelu].
Prints one JSON line: {"seconds": [{"forward": s, "dgrad": s, "wgrad": s}, ...],
"version": ..., "device": ...}. A measurement is as many launches back to back
as last SECONDS; the best of ROUNDS counts.
"""

import json
import sys

import torch
import torch.nn.functional as F
from gpu_clock import seconds_of


def products(rows, inputs, outputs, gelu):
    def random(*dims, std=1.0):
        return torch.randn(*dims, device="cuda", dtype=torch.bfloat16) * std

    x, dy, w, bias = random(rows, inputs), random(rows, outputs), random(outputs, inputs, std=0.02), random(outputs)
    forward = (lambda: F.gelu(F.linear(x, w, bias))) if gelu else (lambda: F.linear(x, w, bias))
    return {"forward": forward, "dgrad": lambda: dy @ w, "wgrad": lambda: (dy.t() @ x, dy.sum(0))}


def main():
    shapes, rounds, least = json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    torch.manual_seed(1)
    result = []
    with torch.no_grad():
        for shape in shapes:
            work = products(*shape)
            for call in work.values():
                call()
            best = {}
            for _ in range(rounds):
                for kind, call in work.items():
                    best[kind] = min(best.get(kind, float("inf")), seconds_of(call, least))
            result.append(best)
            del work
            torch.cuda.empty_cache()
    print(json.dumps({"seconds": result, "version": torch.__version__, "device": torch.cuda.get_device_name()}))


main()
