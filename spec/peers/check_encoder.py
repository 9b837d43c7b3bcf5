#!/usr/bin/env python3
"""Compare the vectors of the C encoder with sentence-transformers: the same folder, the same texts.

    python3 spec/peers/check_encoder.py FOLDER TEXTS [--count 1000] [--library build/libbertlua.so]

FOLDER is one of sentence-transformers with model.safetensors. TEXTS has a text a line; of a .csv the first column is
taken. Calls the library through ctypes, as a C program would. The vectors may differ by 1e-5.
Needs sentence-transformers.
"""

import argparse
import csv
import ctypes

import numpy
import sentence_transformers

TOLERANCE = 1e-5


def embed(library, folder, texts, width):
    bertlua = ctypes.CDLL(library)
    bertlua.bl_last_error.restype = ctypes.c_char_p

    def check(status):
        if status != 0:
            raise SystemExit(bertlua.bl_last_error().decode())

    encoder = ctypes.c_void_p()
    check(bertlua.bl_encoder_open(ctypes.byref(encoder), folder.encode(), None))
    pointers = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))
    vectors = numpy.empty((len(texts), width), numpy.float32)
    out = vectors.ctypes.data_as(ctypes.c_void_p)
    check(bertlua.bl_encoder_embed(encoder, pointers, ctypes.c_int64(len(texts)), 0, out))
    bertlua.bl_encoder_free(encoder)
    return vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("texts")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--library", default="build/libbertlua.so")
    args = parser.parse_args()
    with open(args.texts, encoding="utf-8", newline="") as file:
        if args.texts.endswith(".csv"):
            texts = [row[0] for row in csv.reader(file) if row]
        else:
            texts = file.read().splitlines()
    texts = texts[: args.count]
    model = sentence_transformers.SentenceTransformer(args.folder, device="cpu")
    theirs = model.encode(texts, show_progress_bar=False)
    ours = embed(args.library, args.folder, texts, theirs.shape[1])
    difference = abs(ours - theirs).max()
    print(f"{len(texts)} texts, vectors of {theirs.shape[1]}: they differ by at most {difference:.3g}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE:g}")


if __name__ == "__main__":
    main()
