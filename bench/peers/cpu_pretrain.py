"""PyTorch's side of bench/cpu_pretrain.lua: the same model and batch, one process per measurement.

Arguments: KIND (fp32 | bf16) WARMUP STEPS BATCH LENGTH MASKED. Hugging Face's
BertForPreTraining with its vocabulary head on the masked positions only (as
bertlua computes it), fused AdamW, gradients clipped to norm 1. Prints one JSON
line: {"seconds": [...], "rss": bytes, "version": ...}.
"""

import json
import os
import resource
import sys
import time

import torch
from transformers import BertConfig, BertForPreTraining


def main():
    kind = sys.argv[1]
    warmup, steps, sequences, length, masked = map(int, sys.argv[2:7])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(1)
    config = BertConfig(vocab_size=30522)
    model = BertForPreTraining(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rows = sequences * length
    ids = torch.randint(config.vocab_size, (sequences, length))
    types = (torch.arange(length) >= length // 2).long().repeat(sequences, 1)
    step = (length - 1) // masked
    positions = torch.cat([b * length + 1 + step * torch.arange(masked) for b in range(sequences)])
    labels = torch.randint(config.vocab_size, (sequences * masked,))
    next_labels = torch.randint(2, (sequences,))

    seconds = []
    for i in range(warmup + steps):
        begin = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
            hidden, pooled = model.bert(ids, token_type_ids=types, return_dict=False)
            words = model.cls.predictions(hidden.view(rows, -1)[positions])
            following = model.cls.seq_relationship(pooled)
            loss = torch.nn.functional.cross_entropy(words.float(), labels)
            loss = loss + torch.nn.functional.cross_entropy(following.float(), next_labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if i >= warmup:
            seconds.append(time.monotonic() - begin)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "rss": rss, "loss": loss.item(), "version": torch.__version__}))


main()
