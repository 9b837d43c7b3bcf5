"""PyTorch's side of bench/gpu_attention.lua: scaled_dot_product_attention on the same GPU.

Arguments: CASES ROUNDS SECONDS. CASES is a JSON list of [B, A, S, D, dropout].
Prints one JSON line: {"seconds": [{"forward": s, "backward": s}, ...],
"version": ..., "device": ...}. A measurement is as many launches back to back
as last SECONDS; the best of ROUNDS counts.
"""

import json
import sys

import torch
import torch.nn.functional as F
from gpu_clock import seconds_of


def work_of(batch, heads, length, size, p):
    qkv = torch.randn(batch, length, 3, heads, size, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=p)
    dout = torch.randn(batch, length, heads, size, device="cuda", dtype=torch.bfloat16).transpose(1, 2)

    def forward():
        with torch.no_grad():
            F.scaled_dot_product_attention(q, k, v, dropout_p=p)

    return {"forward": forward, "backward": lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True)}


def main():
    cases, rounds, least = json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    torch.manual_seed(1)
    result = []
    for case in cases:
        work = work_of(*case)
        best = {}
        for call in work.values():
            call()
        for _ in range(rounds):
            for kind, call in work.items():
                best[kind] = min(best.get(kind, float("inf")), seconds_of(call, least))
        result.append(best)
        del work
        torch.cuda.empty_cache()
    print(json.dumps({"seconds": result, "version": torch.__version__, "device": torch.cuda.get_device_name()}))


main()
