"""PyTorch's side of bench/squad_finetune.lua: the same start, batches, optimizer and schedule, fp32.

Arguments: START BATCHES OUT BATCH_SIZE LEARNING_RATE SEED. START is a Hugging Face
folder with a question-answering head, BATCHES a safetensors file with ids,
types [N,S], lengths, starts, ends [N] in the order of training. The trained
model goes to OUT. AdamW (beta 0.9, 0.999, epsilon 1e-6, decay 0.01 except on
biases and LayerNorm), gradients clipped to norm 1, 10 % linear warm-up, then
linear decay to 0. The softmax of the loss is over real tokens: padding gets
minus infinity. Prints one JSON line: {"losses": [...], "sequences_per_second": ...}.
"""

import json
import math
import os
import shutil
import sys
import time

import torch
from safetensors.torch import load_file
from transformers import BertForQuestionAnswering


def main():
    start, batches, out = sys.argv[1:4]
    batch_size, peak, seed = int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    data = load_file(batches)
    model = BertForQuestionAnswering.from_pretrained(start).train()
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], eps=1e-6, fused=True
    )
    steps = len(data["ids"]) // batch_size
    warmup = math.floor(0.1 * steps)
    losses, begun = [], time.monotonic()
    for step in range(1, steps + 1):
        rows = slice((step - 1) * batch_size, step * batch_size)
        lengths = data["lengths"][rows]
        longest = int(lengths.max())
        mask = torch.arange(longest)[None] < lengths[:, None]
        output = model(
            input_ids=data["ids"][rows, :longest].long(),
            token_type_ids=data["types"][rows, :longest].long(),
            attention_mask=mask.long(),
        )
        loss = 0
        for logits, gold in ((output.start_logits, "starts"), (output.end_logits, "ends")):
            real = logits.masked_fill(~mask, float("-inf"))
            loss = loss + torch.nn.functional.cross_entropy(real, data[gold][rows].long()) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = peak * step / warmup if step <= warmup else peak * (1 - (step - warmup) / (steps - warmup))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(loss.item())
        if step % 10 == 0:
            print(f"step {step}/{steps} loss {loss.item():.4f}", file=sys.stderr)
    seconds = time.monotonic() - begun
    model.save_pretrained(out)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(os.path.join(start, name), out)
    print(json.dumps({"losses": losses, "sequences_per_second": steps * batch_size / seconds}))


main()
