#!/usr/bin/env python3
"""Compare examples/embed.c, built with pkg-config against a fresh installation, with sentence-transformers.

    python3 spec/peers/check_embed_example.py SENTENCES.txt [--folder MODEL] [--count 1000]

Installs this tree into an empty folder, builds the example with the command of its header comment, and compares the
vector of each line with sentence-transformers', number by number, to 1e-5. Without --folder: a model of the size of
all-MiniLM-L6-v2 with random weights (6 layers of 384, mean pooling, normalized) and the published vocabulary.
Needs sentence-transformers.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time

import numpy
import sentence_transformers.sentence_transformer.modules
import torch
import transformers

TOLERANCE = 1e-5
VOCABULARY = "vocab/bert-base-uncased-vocab.txt"


def make_model(folder):
    """A folder of sentence-transformers with weights that make vectors differ as trained ones do."""
    torch.manual_seed(1)
    parts = sentence_transformers.sentence_transformer.modules
    config = transformers.BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                     intermediate_size=1536, initializer_range=0.06)
    bert = os.path.join(folder, "bert")
    transformers.BertModel(config).save_pretrained(bert)
    transformers.BertTokenizer(VOCABULARY).save_pretrained(bert)
    words = parts.Transformer(bert, max_seq_length=256)
    model = sentence_transformers.SentenceTransformer(
        modules=[words, parts.Pooling(384, pooling_mode="mean"), parts.Normalize()], device="cpu")
    path = os.path.join(folder, "model")
    model.save(path)
    return path


def build_example(folder):
    """Path of the example, built against an installation below folder."""
    prefix = os.path.join(folder, "prefix")
    subprocess.run(["make", "-s", "install", "PREFIX=" + prefix], check=True, stdout=subprocess.DEVNULL)
    with open("examples/embed.c", encoding="utf-8") as file:
        source = file.read()
    command = re.search(r"\* +(cc .*)\\\n \* +(.*)\n", source)
    with open(os.path.join(folder, "embed.c"), "w", encoding="utf-8") as file:
        file.write(source)
    subprocess.run(" ".join(command.groups()), shell=True, check=True, cwd=folder,
                   env={**os.environ, "PKG_CONFIG_PATH": os.path.join(prefix, "lib/pkgconfig")})
    return os.path.join(folder, "embed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences")
    parser.add_argument("--folder")
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    with open(args.sentences, encoding="utf-8") as file:
        lines = [line for line in file.read().split("\n") if line.strip()][:args.count]
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or make_model(scratch)
        program = build_example(scratch)
        start = time.monotonic()
        output = subprocess.run([program, folder], input="\n".join(lines), capture_output=True, text=True, check=True,
                                cwd="/", env={"PATH": "/usr/bin:/bin"}).stdout
        ours_seconds = time.monotonic() - start
        model = sentence_transformers.SentenceTransformer(folder, device="cpu")
        start = time.monotonic()
        theirs = model.encode(lines, show_progress_bar=False)
        theirs_seconds = time.monotonic() - start
    ours = numpy.array([json.loads(line)["embedding"] for line in output.splitlines()])
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    difference = abs(ours - theirs).max()
    print(f"{len(lines)} sentences: vectors differ by at most {difference:.2g}; {ours_seconds:.1f} s one by one, with "
          f"opening the model; sentence-transformers {theirs_seconds:.1f} s in batches")
    if difference > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
