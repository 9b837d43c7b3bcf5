#!/usr/bin/env python3
"""Features per second of transformers' SQuAD conversion, in one process.

    python3 bench/peers/squad_features.py DATA.json VOCAB.txt [max_seq_length doc_stride]

Compare with build/bertlua spec/peers/dump_squad_features.lua ... --num-workers 1,
which prints its own rate. Only the conversion is timed, not reading. Needs
transformers 4 (version 5 has no SQuAD processing); answers that are not at their
answer_start are skipped first, as both programs would.
"""

import json
import sys
import time

from transformers import BertTokenizer
from transformers.data.processors.squad import SquadExample, squad_convert_examples_to_features


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    data, vocab = sys.argv[1:3]
    length, stride = (int(x) for x in sys.argv[3:5]) if len(sys.argv) == 5 else (384, 128)
    with open(data, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    examples = []
    for article in articles:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answer = qa["answers"][0]
                examples.append(SquadExample(str(qa["id"]), qa["question"], paragraph["context"], answer["text"],
                                             answer["answer_start"], ""))
    tokenizer = BertTokenizer(vocab, do_lower_case=True)
    started = time.perf_counter()
    features = squad_convert_examples_to_features(examples, tokenizer, length, stride, 64, True, threads=1,
                                                  tqdm_enabled=False)
    seconds = time.perf_counter() - started
    print(f"{len(examples)} questions, {len(features)} features in {seconds:.2f} s: {len(features) / seconds:.0f} "
          "features/s")


if __name__ == "__main__":
    main()
