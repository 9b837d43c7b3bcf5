#!/usr/bin/env python3
"""Check that predict.lua and transformers' pipeline() say the same, of models of both.

    python spec/peers/check_predictions.py results/model TEXTS [rows]

The folder holds a model for texts or for words, written by bertlua or by
transformers; TEXTS are text lines, or CoNLL columns for a model for words.
predict.lua and pipeline() predict both; then transformers writes the model into
a folder of its own, and predict.lua predicts with that. Words are compared at
their first pieces, in sentences that fit into one window.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import transformers

folder, path = sys.argv[1], sys.argv[2]
most = int(sys.argv[3]) if len(sys.argv) > 3 else 200

tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
config = transformers.AutoConfig.from_pretrained(folder)
words_wanted = config.architectures[0] == "BertForTokenClassification"
limit = min(tokenizer.model_max_length, config.max_position_embeddings)


def inputs():
    """Texts, or lists of words."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    if not words_wanted:
        return [line for line in text.split("\n") if line.strip()][:most]
    return [[line.split("\t")[0] for line in part.split("\n") if line] for part in text.split("\n\n") if part.strip()][:most]


def ours(model_folder, rows):
    with tempfile.TemporaryDirectory() as work:
        name = f"{work}/rows.jsonl"
        with open(name, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"words": row} if words_wanted else {"text": row}) + "\n")
        out = subprocess.run(["build/bertlua", "recipes/predict.lua", "--checkpoint", model_folder, "--input", name],
                             check=True, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def of_texts(pipe, rows):
    """[{label: score}] of the labels that predict.lua would give."""
    said = pipe(rows, top_k=None, truncation=True)
    if config.problem_type == "regression":
        return [{"value": row[0]["score"]} for row in said]
    if config.problem_type == "multi_label_classification":
        return [{entry["label"]: entry["score"] for entry in row if entry["score"] > 0.5} for row in said]
    return [{row[0]["label"]: row[0]["score"]} for row in said]


def as_scores(record):
    if "value" in record:
        return {"value": record["value"]}
    if "labels" in record:
        return dict(zip(record["labels"], record["scores"]))
    return {record["label"]: record["score"]}


def of_words(pipe, words):
    """{number of a word: (tag, score)}."""
    starts, at = {}, 0
    for i, word in enumerate(words):
        starts[at], at = i, at + len(word) + 1
    found = pipe(" ".join(words), ignore_labels=[])
    return {starts[e["start"]]: (e["entity"], float(e["score"])) for e in found if e["start"] in starts}


rows = inputs()
if words_wanted:
    rows = [r for r in rows if len(tokenizer(" ".join(r))["input_ids"]) <= limit]
pipe = transformers.pipeline("token-classification" if words_wanted else "text-classification", model=folder, tokenizer=tokenizer,
                             device="cpu")
expected = [of_words(pipe, row) for row in rows] if words_wanted else of_texts(pipe, rows)
failed = False
with tempfile.TemporaryDirectory() as theirs:
    pipe.model.save_pretrained(theirs)
    tokenizer.save_pretrained(theirs)
    for name, model_folder in ("this folder", folder), ("as transformers writes it", theirs):
        records = ours(model_folder, rows)
        assert len(records) == len(rows), (len(records), len(rows))
        count, different, worst = 0, 0, 0.0
        for record, wanted in zip(records, expected):
            if words_wanted:
                pairs = [((record["tags"][i], record["scores"][i]), said) for i, said in wanted.items()]
            else:
                given = as_scores(record)
                different += set(given) != set(wanted)
                pairs = [((label, score), (label, wanted[label])) for label, score in given.items() if label in wanted]
            for (a, x), (b, y) in pairs:
                count, different, worst = count + 1, different + (a != b), max(worst, abs(x - y))
        print(f"{name}: {len(rows)} rows, {count} scores: {different} differ in their label, scores by at most {worst:.2g}")
        failed = failed or different > 0 or worst > 1e-4
sys.exit(1 if failed else 0)
