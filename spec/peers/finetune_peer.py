#!/usr/bin/env python3
"""transformers' side of spec/peers/compare_finetuning.lua: the same start, order, optimizer and schedule, fp32.

Reads the files itself and tokenizes them with transformers' tokenizer; an id or a
label that differs from those in BATCHES is an error. BATCHES gives only the order
of the samples, and what is masked. Batches are padded to their longest sequence.
AdamW (beta 0.9, 0.999; no decay on biases and LayerNorm), gradients clipped to
max_grad_norm, linear warm-up, then linear decay: step 1 has peak/warm-up steps,
the last one 0, which is transformers' schedule one step ahead. The model goes to
OUT/model, its predictions to OUT/predictions.jsonl. Prints one line of JSON:
losses, metrics of the test file (scikit-learn, SciPy, seqeval,
sentence-transformers), training sequences per second. What differs between tasks
is in finetuning/TASK.py.
"""

import argparse
import importlib
import json
import math
import os
import sys
import time

import torch
from safetensors.torch import load_file


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("task", "start", "batches", "out"):
        parser.add_argument(name)
    for name in ("train_file", "test_file", "text_column", "pair_column", "label_column", "objective"):
        parser.add_argument("--" + name.replace("_", "-"))
    for name in ("max_seq_length", "doc_stride", "train_batch_size", "seed", "threads", "skipped_steps"):
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    for name in ("learning_rate", "warmup_proportion", "weight_decay", "epsilon", "max_grad_norm", "max_score",
                 "similarity_scale"):
        parser.add_argument("--" + name.replace("_", "-"), type=float)
    return parser.parse_args()


def train(model, data, features, args, task):
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        eps=args.epsilon,
        fused=True,
    )
    order, size = data["order"].tolist(), args.train_batch_size
    steps = len(order) // size
    warmup = math.floor(args.warmup_proportion * steps)
    losses, seconds, cpu_begun = [], 0.0, time.process_time()
    model.train()
    for step in range(1, steps + 1):
        begun = time.monotonic()
        loss = task.loss(model, features, order[(step - 1) * size : step * size])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.max_grad_norm)
        share = step / warmup if step <= warmup else 1 - (step - warmup) / (steps - warmup)
        for group in optimizer.param_groups:
            group["lr"] = args.learning_rate * share
        optimizer.step()
        losses.append(loss.item())
        if step > args.skipped_steps:
            seconds += time.monotonic() - begun
        else:
            cpu_begun = time.process_time()
        if step % 10 == 0:
            print(f"step {step}/{steps} loss {losses[-1]:.4f}", file=sys.stderr)
    count = max(0, steps - args.skipped_steps) * size
    return losses, {
        "sequences_per_second": count / max(seconds, 1e-9),
        "sequences_per_cpu_second": count / max(time.process_time() - cpu_begun, 1e-9),
    }


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    task = importlib.import_module("finetuning." + args.task).Task(args)
    data = load_file(args.batches)
    features = task.load(args.train_file)
    task.check(features, data)
    model = task.open()
    losses, speed = train(model, data, features, args, task)
    task.save(model, f"{args.out}/model")
    metrics = {}
    if args.test_file:
        metrics, records = task.evaluate(model, task.load(args.test_file))
        with open(os.path.join(args.out, "predictions.jsonl"), "w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(json.dumps({"losses": losses, "metrics": metrics, **speed}))


main()
