"""Python's side of bench/tokenizer.lua: Hugging Face tokenizers (Rust) on one thread.

Arguments: TEXT VOCAB LOWER_CASE TRAIN_SIZE. Encodes the lines of TEXT one by
one and as one batch, and learns a vocabulary of TRAIN_SIZE tokens from it.
Reading files, loading the vocabulary and turning ids into Python lists are not
counted. Prints one JSON line.
"""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers
from tokenizers import BertWordPieceTokenizer


def main():
    text, vocab, lower, train_size = sys.argv[1:5]
    lower = lower == "true"
    with open(text, encoding="utf-8", errors="ignore", newline="\n") as file:
        lines = [line for line in file.read().split("\n") if line]
    tokenizer = BertWordPieceTokenizer(vocab, lowercase=lower)
    tokenizer.encode("warm up")

    begin = time.perf_counter()
    single = [tokenizer.encode(line, add_special_tokens=False) for line in lines]
    single_seconds = time.perf_counter() - begin
    tokens = sum(len(encoding.ids) for encoding in single)
    del single

    begin = time.perf_counter()
    batch = tokenizer.encode_batch(lines, add_special_tokens=False)
    batch_seconds = time.perf_counter() - begin
    del batch

    learner = BertWordPieceTokenizer(lowercase=lower)
    begin = time.perf_counter()
    learner.train([text], vocab_size=int(train_size), min_frequency=2, limit_alphabet=1000, show_progress=False)
    train_seconds = time.perf_counter() - begin

    print(
        json.dumps(
            {
                "single": single_seconds,
                "batch": batch_seconds,
                "train": train_seconds,
                "tokens": tokens,
                "version": tokenizers.__version__,
            }
        )
    )


main()
