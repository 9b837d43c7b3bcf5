"""Python's side of bench/data_preparation.lua: text to a shard with Hugging Face tokenizers (Rust) and h5py.

Arguments: TEXT VOCAB OUTPUT LOWER_CASE MAX_SEQ_LENGTH MAX_PREDICTIONS DUPE_FACTOR.
The same job as bertlua's create_pretraining_data on one thread: one sentence
per line, a blank line between documents, sentence pairs sampled and masked
dupe_factor times, six gzip-compressed datasets. Token ids instead of strings
throughout, which is faster than the usual scripts. Loading the libraries and
the vocabulary is not counted. Prints one JSON line.
"""

import json
import os
import random
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import h5py
import numpy as np
import tokenizers
from tokenizers import BertWordPieceTokenizer


def read_documents(path, tokenizer):
    documents = [[]]
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    filled = [line for line in lines if line]
    encoded = iter(tokenizer.encode_batch(filled, add_special_tokens=False))
    for line in lines:
        if not line:
            documents.append([])
        else:
            ids = next(encoded).ids
            if ids:
                documents[-1].append(ids)
    return [document for document in documents if document]


def truncate_pair(a, b, room, rng):
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def from_document(documents, number, s, short_prob, rng):
    document = documents[number]
    room = s - 3
    target = room
    if rng.random() < short_prob:
        target = rng.randint(2, room)
    instances = []
    chunk, length, i = [], 0, 0
    while i < len(document):
        chunk.append(document[i])
        length += len(document[i])
        if i == len(document) - 1 or length >= target:
            split = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            a = [t for sentence in chunk[:split] for t in sentence]
            b = []
            if len(chunk) == 1 or rng.random() < 0.5:
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != number:
                        break
                is_random = other != number
                source = documents[other]
                for j in range(rng.randint(0, len(source) - 1), len(source)):
                    b.extend(source[j])
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - split
            else:
                is_random = False
                b = [t for sentence in chunk[split:] for t in sentence]
            truncate_pair(a, b, room, rng)
            instances.append((a, b, is_random))
            chunk, length = [], 0
        i += 1
    return instances


def mask(ids, special, vocab_size, mask_id, p, rng):
    candidates = [i for i, t in enumerate(ids) if t not in special]
    rng.shuffle(candidates)
    chosen = sorted(candidates[: min(p, max(1, int(round(len(ids) * 0.15))))])
    labels = [ids[i] for i in chosen]
    for i in chosen:
        if rng.random() < 0.8:
            ids[i] = mask_id
        elif rng.random() >= 0.5:
            ids[i] = rng.randint(0, vocab_size - 1)
    return chosen, labels


def write(path, instances, tokenizer, s, p, rng):
    cls_id, sep_id, mask_id = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]", "[MASK]"))
    vocab_size = tokenizer.get_vocab_size()
    n = len(instances)
    data = {
        "input_ids": np.zeros([n, s], dtype="int32"),
        "input_mask": np.zeros([n, s], dtype="int8"),
        "segment_ids": np.zeros([n, s], dtype="int8"),
        "masked_lm_positions": np.zeros([n, p], dtype="int32"),
        "masked_lm_ids": np.zeros([n, p], dtype="int32"),
        "next_sentence_labels": np.zeros(n, dtype="int8"),
    }
    for row, (a, b, is_random) in enumerate(instances):
        ids = [cls_id] + a + [sep_id] + b + [sep_id]
        positions, labels = mask(ids, (cls_id, sep_id), vocab_size, mask_id, p, rng)
        data["input_ids"][row, : len(ids)] = ids
        data["input_mask"][row, : len(ids)] = 1
        data["segment_ids"][row, len(a) + 2 : len(ids)] = 1
        data["masked_lm_positions"][row, : len(positions)] = positions
        data["masked_lm_ids"][row, : len(labels)] = labels
        data["next_sentence_labels"][row] = is_random
    filled = time.monotonic()
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file.create_dataset(name, data=values, compression="gzip")
    return time.monotonic() - filled


def main():
    text, vocab, output, lower = sys.argv[1:5]
    s, p, dupes = map(int, sys.argv[5:8])
    tokenizer = BertWordPieceTokenizer(vocab, lowercase=lower == "true")
    rng = random.Random(12345)
    begin = time.monotonic()
    documents = read_documents(text, tokenizer)
    tokenized = time.monotonic()
    instances = []
    for _ in range(dupes):
        for number in range(len(documents)):
            instances.extend(from_document(documents, number, s, 0.1, rng))
    rng.shuffle(instances)
    gzip_seconds = write(output, instances, tokenizer, s, p, rng)
    end = time.monotonic()
    print(
        json.dumps(
            {
                "total": end - begin,
                "tokenize": tokenized - begin,
                "gzip": gzip_seconds,
                "tokens": sum(len(t) for d in documents for t in d),
                "instances": len(instances),
                "version": tokenizers.__version__,
            }
        )
    )


main()
