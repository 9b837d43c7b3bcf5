#!/usr/bin/env python3
"""Check that transformers reproduces the predictions of a classification run.

    bertlua recipes/finetune_classify.lua ... --output-dir results
    python spec/peers/check_classification.py results

Opens the exported model with AutoModelForSequenceClassification, classifies the
texts in predictions.jsonl, and compares labels and scores; the first 200 of them
also with pipeline("text-classification"). Then writes the model
with transformers into FOLDER-huggingface, to check the opposite direction:

    bertlua recipes/finetune_classify.lua --from-pretrained-params FOLDER-huggingface \\
        --vocab-file FOLDER/model/vocab.txt --test-file FOLDER/predictions.jsonl --max-seq-length ... --output-dir back
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
worst, different = 0.0, 0
for at in range(0, len(records), 32):
    part = records[at : at + 32]
    pairs = [r["pair"] for r in part] if "pair" in part[0] else None
    inputs = tokenizer([r["text"] for r in part], pairs, truncation="longest_first", max_length=limit, padding=True,
                       return_tensors="pt")
    with torch.no_grad():
        scores = model(**inputs).logits.softmax(-1)
    for record, row in zip(part, scores):
        best = int(row.argmax())
        different += model.config.id2label[best] != record["label"]
        worst = max(worst, abs(float(row[best]) - record["score"]))
print(f"{len(records)} texts: {different} different labels, scores differ by at most {worst:.2g}")

classifier = transformers.pipeline("text-classification", model=f"{folder}/model")
given = [{"text": r["text"], "text_pair": r["pair"]} if "pair" in r else r["text"] for r in records[:200]]
answers = classifier(given, truncation=True, max_length=limit)
pipeline_different, pipeline_worst = 0, 0.0
for record, answer in zip(records, answers):
    pipeline_different += answer["label"] != record["label"]
    pipeline_worst = max(pipeline_worst, abs(answer["score"] - record["score"]))
print(f"pipeline: {len(answers)} texts: {pipeline_different} different labels, scores differ by at most "
      f"{pipeline_worst:.2g}")
model.save_pretrained(f"{folder}-huggingface")
tokenizer.save_pretrained(f"{folder}-huggingface")
sys.exit(1 if different or worst > 1e-3 or pipeline_different or pipeline_worst > 1e-3 else 0)
