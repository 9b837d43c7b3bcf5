#!/usr/bin/env python3
"""Compare sentence embeddings with sentence-transformers: the same folder, the same pairs.

    python3 spec/peers/check_sentence_transformers.py FOLDER PAIRS.csv [--bertlua build/bertlua]

FOLDER is one of sentence-transformers, or OUTPUT_DIR/model of recipes/finetune_embeddings.lua. PAIRS.csv has no header:
two sentences and their score. Compares the cosine of every pair, and Spearman's correlation, to 1e-4.
Needs sentence-transformers and scipy.

Measured with all-MiniLM-L6-v2 and sentence-transformers 6.2.0 on STS-B: see docs/finetuning.md.
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile

import numpy
import scipy.stats
import sentence_transformers

TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("pairs")
    parser.add_argument("--bertlua", default="build/bertlua")
    args = parser.parse_args()
    with open(args.pairs, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    model = sentence_transformers.SentenceTransformer(args.folder, device="cpu")
    first, second = (model.encode([row[i] for row in rows], show_progress_bar=False).astype(float) for i in (0, 1))
    norms = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
    theirs = (first * second).sum(1) / norms
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [args.bertlua, "recipes/finetune_embeddings.lua", "--dev-file", args.pairs, "--text-column", "1",
             "--pair-column", "2", "--label-column", "3", "--bert-model", "custom", "--from-pretrained-params",
             args.folder, "--output-dir", scratch, "--report-file", os.path.join(scratch, "report.json")],
            check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(scratch, "predictions.jsonl"), encoding="utf-8") as file:
            ours = numpy.array([json.loads(line)["score"] for line in file])
        with open(os.path.join(scratch, "eval.json"), encoding="utf-8") as file:
            figure = json.load(file)["dev"]["spearman"]
    expected = scipy.stats.spearmanr(theirs, [float(row[2]) for row in rows]).statistic
    difference = abs(ours - theirs).max()
    print(f"{len(rows)} pairs: Spearman {figure:.6f}, sentence-transformers {expected:.6f}; "
          f"cosines differ by at most {difference:.2g}")
    if abs(figure - expected) > TOLERANCE or difference > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
