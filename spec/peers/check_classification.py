#!/usr/bin/env python3
"""Check that transformers reproduces the predictions of a classification run.

    bertlua recipes/finetune_classify.lua ... --output-dir results
    python spec/peers/check_classification.py results [max_seq_length]

Opens the exported model with AutoModelForSequenceClassification, predicts for
the texts in predictions.jsonl, and compares labels and scores, or numbers; then
does the same with pipeline("text-classification"). Then writes the model with
transformers into FOLDER-huggingface, to check the opposite direction:

    bertlua recipes/finetune_classify.lua --from-pretrained-params FOLDER-huggingface \\
        --bert-model custom --test-file ... --max-seq-length ... --output-dir back
    cmp results/predictions.jsonl back/predictions.jsonl
"""

import json
import sys

import torch
import transformers

folder, limit = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 64
tokenizer = transformers.AutoTokenizer.from_pretrained(f"{folder}/model")
model, report = transformers.AutoModelForSequenceClassification.from_pretrained(f"{folder}/model", output_loading_info=True)
assert not report["missing_keys"] and not report["unexpected_keys"], report
model.eval()

records = [json.loads(line) for line in open(f"{folder}/predictions.jsonl", encoding="utf-8")]
kind, names = model.config.problem_type, model.config.id2label
worst, different = 0.0, 0


def compare(record, logits):
    """(whether the labels differ, the largest difference of scores or numbers) of one text."""
    if kind == "regression":
        return False, abs(float(logits[0]) - record["value"])
    if kind == "multi_label_classification":
        scores = logits.sigmoid()
        expected = {names[c]: float(p) for c, p in enumerate(scores) if p > 0.5}
        given = dict(zip(record["labels"], record["scores"]))
        # A probability of one half may round to either side.
        odd = [n for n in set(expected) ^ set(given) if abs(float(scores[model.config.label2id[n]]) - 0.5) > 1e-5]
        return bool(odd), max([abs(expected[n] - p) for n, p in given.items() if n in expected], default=0.0)
    scores = logits.softmax(-1)
    best = int(scores.argmax())
    return names[best] != record["label"], abs(float(scores[best]) - record["score"])


for at in range(0, len(records), 32):
    part = records[at : at + 32]
    pairs = [r["pair"] for r in part] if "pair" in part[0] else None
    inputs = tokenizer([r["text"] for r in part], pairs, truncation="longest_first", max_length=limit, padding=True,
                       return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    for record, row in zip(part, logits):
        other, distance = compare(record, row)
        different, worst = different + other, max(worst, distance)
print(f"{kind}, {len(records)} texts: {different} different labels, scores differ by at most {worst:.2g}")

classify = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
for record in records[:32]:
    text = {"text": record["text"], "text_pair": record["pair"]} if "pair" in record else record["text"]
    answer = classify([text], truncation="longest_first", max_length=limit)[0]
    answer = {a["label"]: a["score"] for a in ([answer] if isinstance(answer, dict) else answer)}
    if kind == "regression":
        given = {names[0]: record["value"]}
    elif kind == "multi_label_classification":
        given = dict(zip(record["labels"], record["scores"]))
        different += {n for n, p in answer.items() if p > 0.5} != set(given)
    else:
        given = {record["label"]: record["score"]}
    worst = max([worst] + [abs(answer[n] - p) for n, p in given.items()])
print(f"with pipeline(): {different} different labels, scores differ by at most {worst:.2g}")
model.save_pretrained(f"{folder}-huggingface")
tokenizer.save_pretrained(f"{folder}-huggingface")
sys.exit(1 if different or worst > 1e-3 else 0)
