#!/usr/bin/env python3
"""transformers' side of spec/peers/compare_finetuning.lua: the same start, order, optimizer and schedule, fp32.

Reads the files itself and tokenizes them with transformers' tokenizer; an id or a
label that differs from those in BATCHES is an error. BATCHES gives only the order
of the samples. Batches are padded to their longest sequence. AdamW (beta 0.9,
0.999; no decay on biases and LayerNorm), gradients clipped to max_grad_norm,
linear warm-up, then linear decay: step 1 has peak/warm-up steps, the last one 0,
which is transformers' schedule one step ahead. The model goes to OUT/model, its
predictions to OUT/predictions.jsonl. Prints one line of JSON: losses, metrics of
the test file (scikit-learn, SciPy, seqeval), training sequences per second.
"""

import argparse
import csv
import json
import math
import os
import sys
import time

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

ATTENTION = "sdpa"


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("task", "start", "batches", "out"):
        parser.add_argument(name)
    for name in ("train_file", "test_file", "text_column", "pair_column", "label_column"):
        parser.add_argument("--" + name.replace("_", "-"))
    for name in ("max_seq_length", "train_batch_size", "seed", "threads", "skipped_steps"):
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    for name in ("learning_rate", "warmup_proportion", "weight_decay", "epsilon", "max_grad_norm"):
        parser.add_argument("--" + name.replace("_", "-"), type=float)
    return parser.parse_args()


def read_texts(path, args):
    """Columns of a CSV file: texts, second texts or None, labels. Columns are names, or numbers from 1 without a
    header line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    columns = [args.text_column, args.pair_column, args.label_column]
    if any(c is not None and not c.isdigit() for c in columns):
        header, rows = rows[0], rows[1:]
        columns = [c and header.index(c) for c in columns]
    else:
        columns = [c and int(c) - 1 for c in columns]
    text, pair, label = columns
    return [r[text] for r in rows], pair and [r[pair] for r in rows], [r[label] for r in rows]


def read_words(path):
    """Sentences of a CoNLL file: lists of words and of tags."""
    words, tags, ended = [], [], True
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\r\n")
        if not line.strip():
            ended = True
            continue
        if ended:
            words.append([])
            tags.append([])
            ended = False
        word, tag = line.split("\t")
        words[-1].append(word)
        tags[-1].append(tag)
    return words, tags


class Texts:
    """Texts, or pairs of texts, with a label each: a class, or a number."""

    model = transformers.AutoModelForSequenceClassification

    def __init__(self, args, tokenizer, config):
        self.args, self.tokenizer, self.numbers = args, tokenizer, config.label2id
        self.regression = config.num_labels == 1

    def load(self, path):
        texts, pairs, labels = read_texts(path, self.args)
        ids = self.tokenizer(texts, pairs, truncation="longest_first", max_length=self.args.max_seq_length)
        self.texts, self.pairs = texts, pairs
        numbers = [float(label) if self.regression else self.numbers[label] for label in labels]
        return ids["input_ids"], ids["token_type_ids"], numbers

    def labels(self, numbers, members, _length):
        return torch.tensor([numbers[i] for i in members], dtype=torch.float if self.regression else torch.long)

    def loss(self, logits, labels):
        if self.regression:
            return torch.nn.functional.mse_loss(logits.squeeze(-1), labels)
        return torch.nn.functional.cross_entropy(logits, labels)

    def result(self, logits, mask, _gold):
        return [row.double().numpy() for row in logits]

    def metrics(self, results, gold, names):
        from scipy.stats import pearsonr, spearmanr
        from sklearn.metrics import accuracy_score, f1_score

        if self.regression:
            values = [float(r[0]) for r in results]
            records = [{"text": t, "value": v} for t, v in zip(self.texts, values)]
            return {"pearson": float(pearsonr(values, gold)[0]), "spearman": float(spearmanr(values, gold)[0])}, records
        best = [int(r.argmax()) for r in results]
        records = [
            {"text": t, "label": names[b], "score": float(np.exp(r - r.max())[b] / np.exp(r - r.max()).sum())}
            for t, r, b in zip(self.texts, results, best)
        ]
        return {"accuracy": accuracy_score(gold, best), "macro_f1": f1_score(gold, best, average="macro")}, records


class Words:
    """Words with a tag each, which stands at the word's first piece."""

    model = transformers.AutoModelForTokenClassification

    def __init__(self, args, tokenizer, config):
        self.args, self.tokenizer, self.numbers = args, tokenizer, config.label2id
        self.regression = False

    def load(self, path):
        self.words, self.tags = read_words(path)
        pieces = {w: self.tokenizer.tokenize(w) or [self.tokenizer.unk_token] for s in self.words for w in s}
        ids, labels = [], []
        for sentence, tags in zip(self.words, self.tags):
            row, marks = [self.tokenizer.cls_token_id], [-100]
            for word, tag in zip(sentence, tags):
                own = self.tokenizer.convert_tokens_to_ids(pieces[word])
                row += own
                marks += [self.numbers[tag]] + [-100] * (len(own) - 1)
            ids.append(row + [self.tokenizer.sep_token_id])
            labels.append(marks + [-100])
        if max(map(len, ids)) > self.args.max_seq_length:
            sys.exit(f"{path}: a sentence is longer than {self.args.max_seq_length} tokens: windows are not compared; raise the maximum")
        return ids, [[0] * len(row) for row in ids], labels

    def labels(self, numbers, members, length):
        rows = [numbers[i] + [-100] * (length - len(numbers[i])) for i in members]
        return torch.tensor(rows)

    def loss(self, logits, labels):
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def result(self, logits, _mask, gold):
        out = []
        for row, marks in zip(logits.double().softmax(-1).numpy(), gold):
            out.append(row[: len(marks)][np.array(marks) != -100])
        return out

    def metrics(self, results, _gold, names):
        from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

        tags = [[names[int(b)] for b in r.argmax(-1)] for r in results]
        records = [
            {"words": w, "tags": t, "scores": [float(x) for x in r.max(-1)]}
            for w, t, r in zip(self.words, tags, results)
        ]
        figures = {"f1": f1_score, "precision": precision_score, "recall": recall_score, "accuracy": accuracy_score}
        return {name: float(function(self.tags, tags)) for name, function in figures.items()}, records


def check_equal(ids, labels, data, task):
    """Ours and transformers' tokens and labels must be equal, sequence by sequence."""
    offsets = data["offsets"].tolist()
    ours, marks = data["ids"].tolist(), data["labels"].tolist()
    if len(ids) != len(offsets) - 1:
        sys.exit(f"{len(ids)} sequences, but {len(offsets) - 1} in the batches")
    for i, row in enumerate(ids):
        part = slice(offsets[i], offsets[i + 1])
        if row != ours[part]:
            sys.exit(f"sequence {i} is tokenized differently: {row} and {ours[part]}")
        if task == "tokens":
            same = [-1 if m == -100 else m for m in labels[i]] == marks[part]
        else:
            same = abs(labels[i] - marks[i]) < 1e-6
        if not same:
            sys.exit(f"sequence {i} is labeled differently")
    print(f"{len(ids)} sequences of {len(ours)} tokens and their labels are equal", file=sys.stderr)


def batch_of(ids, types, members):
    length = max(len(ids[i]) for i in members)
    pad = lambda rows, i: rows[i] + [0] * (length - len(rows[i]))
    tensor = lambda rows: torch.tensor([pad(rows, i) for i in members])
    mask = torch.tensor([[1] * len(ids[i]) + [0] * (length - len(ids[i])) for i in members])
    return {"input_ids": tensor(ids), "token_type_ids": tensor(types), "attention_mask": mask}, length


def train(model, data, features, args, task):
    ids, types, numbers = features
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
        members = order[(step - 1) * size : step * size]
        inputs, length = batch_of(ids, types, members)
        loss = task.loss(model(**inputs).logits, task.labels(numbers, members, length))
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


def evaluate(model, features, task):
    ids, types, numbers = features
    model.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    results = [None] * len(ids)
    with torch.inference_mode():
        for at in range(0, len(order), 32):
            members = order[at : at + 32]
            inputs, _ = batch_of(ids, types, members)
            rows = task.result(model(**inputs).logits, inputs["attention_mask"], [numbers[i] for i in members]
                               if isinstance(numbers[0], list) else None)
            for i, row in zip(members, rows):
                results[i] = row
    names = model.config.id2label
    return task.metrics(results, numbers, names)


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.start)
    config = transformers.AutoConfig.from_pretrained(args.start)
    task = {"classify": Texts, "tokens": Words}[args.task](args, tokenizer, config)
    data = load_file(args.batches)
    features = task.load(args.train_file)
    check_equal(features[0], features[2], data, args.task)
    test = args.test_file and task.load(args.test_file)
    model = task.model.from_pretrained(args.start, attn_implementation=ATTENTION)
    losses, speed = train(model, data, features, args, task)
    model.save_pretrained(f"{args.out}/model")
    tokenizer.save_pretrained(f"{args.out}/model")
    metrics = {}
    if test:
        metrics, records = evaluate(model, test, task)
        with open(os.path.join(args.out, "predictions.jsonl"), "w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(json.dumps({"losses": losses, "metrics": metrics, **speed}))


main()
