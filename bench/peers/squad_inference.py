"""PyTorch's side of bench/squad_inference.lua: the same model and batch, one process per measurement.

Arguments: PRECISION (fp32 | bf16) WARMUP STEPS BATCH LENGTH CONFIG. Hugging
Face's BertForQuestionAnswering in inference mode, bf16 by autocast. Prints one
JSON line: {"seconds": [...], "rss": bytes, "version": ...}.
"""

import json
import os
import resource
import sys
import time

import torch
from transformers import BertConfig, BertForQuestionAnswering


def main():
    precision, config_file = sys.argv[1], sys.argv[6]
    warmup, steps, sequences, length = map(int, sys.argv[2:6])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(1)
    config = BertConfig.from_json_file(config_file)
    model = BertForQuestionAnswering(config).eval()
    ids = torch.randint(config.vocab_size, (sequences, length))
    types = (torch.arange(length) >= 16).long().repeat(sequences, 1)
    seconds = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        for step in range(warmup + steps):
            begun = time.monotonic()
            out = model(input_ids=ids, token_type_ids=types)
            torch.stack([out.start_logits, out.end_logits], -1).float()
            if step >= warmup:
                seconds.append(time.monotonic() - begun)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "rss": rss, "version": torch.__version__}))


main()
