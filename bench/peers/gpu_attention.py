"""PyTorch's side of bench/gpu_attention.lua: scaled_dot_product_attention on the same GPU.

Arguments: CASES ROUNDS SECONDS. CASES is a JSON list of [B, A, S, D, dropout].
Prints one JSON line: {"seconds": [{"forward": s, "backward": s}, ...],
"version": ..., "device": ...}. A measurement is enough back-to-back launches to
last SECONDS; the best of ROUNDS counts.
"""

import torch
import torch.nn.functional as F
from gpu_clock import report


def work_of(batch, heads, length, size, p):
    qkv = torch.randn(batch, length, 3, heads, size, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=p)
    dout = torch.randn(batch, length, heads, size, device="cuda", dtype=torch.bfloat16).transpose(1, 2)

    def forward():
        with torch.no_grad():
            F.scaled_dot_product_attention(q, k, v, dropout_p=p)

    return {"forward": forward, "backward": lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True)}


report(work_of)
