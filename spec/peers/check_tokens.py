#!/usr/bin/env python3
"""Check that transformers reproduces the predictions of a token classification run.

    bertlua recipes/finetune_tokens.lua ... --output-dir results
    python spec/peers/check_tokens.py results [MAX_SEQ_LENGTH]

Tags the words in predictions.jsonl twice with results/model and compares tags and
scores: with AutoModelForTokenClassification, words given apart, each tagged at its
first piece; and with pipeline("token-classification") on the words joined by blanks,
for those sentences whose words the pipeline's tokenizer keeps apart.
Then writes the model with transformers into FOLDER-huggingface, to check the
opposite direction:

    bertlua recipes/finetune_tokens.lua --from-pretrained-params FOLDER-huggingface --bert-model custom \\
        --test-file FILE --output-dir back
"""

import json
import sys

import torch
import transformers

folder, limit = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 128
tokenizer = transformers.AutoTokenizer.from_pretrained(f"{folder}/model")
model, report = transformers.AutoModelForTokenClassification.from_pretrained(f"{folder}/model", output_loading_info=True)
assert not report["missing_keys"] and not report["unexpected_keys"], report
model.eval()
names = model.config.id2label

records = [json.loads(line) for line in open(f"{folder}/predictions.jsonl", encoding="utf-8")]
worst, different, words, long = 0.0, 0, 0, 0
for at in range(0, len(records), 32):
    part = records[at : at + 32]
    rows = [
        [tokenizer.tokenize(word) or [tokenizer.unk_token] for word in record["words"]] for record in part
    ]
    kept = [(record, row) for record, row in zip(part, rows) if sum(map(len, row)) + 2 <= limit]
    long += len(part) - len(kept)
    ids = [
        [tokenizer.cls_token_id]
        + tokenizer.convert_tokens_to_ids([piece for pieces in row for piece in pieces])
        + [tokenizer.sep_token_id]
        for _, row in kept
    ]
    if not ids:
        continue
    inputs = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    with torch.inference_mode():
        scores = model(**inputs).logits.double().softmax(-1)
    for (record, row), of_sentence in zip(kept, scores):
        place = 1
        for pieces, tag, score in zip(row, record["tags"], record["scores"]):
            best = int(of_sentence[place].argmax())
            different += names[best] != tag
            worst = max(worst, abs(float(of_sentence[place, best]) - score))
            place, words = place + len(pieces), words + 1
print(f"{words} words of {len(records) - long} sentences ({long} longer): {different} different tags, scores differ "
      f"by at most {worst:.2g}")

tagger = transformers.pipeline("token-classification", model=f"{folder}/model", ignore_labels=[])
compared, pipeline_worst, pipeline_different = 0, 0.0, 0
for record in records[:200]:
    text, starts = " ".join(record["words"]), {}
    for word, tag, score in zip(record["words"], record["tags"], record["scores"]):
        starts[sum(len(w) + 1 for w in record["words"][: len(starts)])] = (tag, score)
    if len(tokenizer(text)["input_ids"]) > limit:
        continue
    found = {item["start"]: item for item in tagger(text)}
    if not set(starts) <= set(found):
        continue
    for start, (tag, score) in starts.items():
        compared += 1
        pipeline_different += found[start]["entity"] != tag
        pipeline_worst = max(pipeline_worst, abs(float(found[start]["score"]) - score))
print(f"pipeline: {compared} words: {pipeline_different} different tags, scores differ by at most {pipeline_worst:.2g}")
model.save_pretrained(f"{folder}-huggingface")
tokenizer.save_pretrained(f"{folder}-huggingface")
sys.exit(1 if different or worst > 1e-3 or not compared or pipeline_different or pipeline_worst > 1e-3 else 0)
