#!/usr/bin/env python3
"""Make spec/fixtures/text/tokenizer_json.json: ids by Hugging Face's tokenizers for every normalizer of BERT's kind.

    python3 spec/peers/make_tokenizer_json_fixtures.py

Needs tokenizers. The file holds a tokenizer.json, texts, and for each combination of lowercase, strip_accents,
handle_chinese_chars and clean_text the ids of each text. Left out are the two things in which tokenizers differs from
Google's reference, which bertlua follows: the final sigma, and code points that are unassigned or of private use, which
tokenizers leaves out. Run from the repository's root; the result is committed.
"""

import itertools
import json

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Every character by itself and as a continuation.
CHARACTERS = ("abcdefghijklmnopqrstuvwxyzABCDEIN.,!?'-0123éÉèåÅçÇãİıſßẞñÑüÜōŐőάΆαΑσΣ中国語日本हिनदीั\u0301\u0327\u0307"
              "\u3099がか\u200b\u0007\u00ad\ufeff")
TEXTS = [
    "Hello, world!", "CAFÉ Crème brûlée", "ÅNGSTRÖM ångström A\u030aB", "İstanbul ISTANBUL ılık", "straße STRASSE ẞ ſ",
    "e\u0301\u0327 e\u0327\u0301 ñandú", "中国語abc 日本", "が か\u3099 हिन्दी", "a\u0007b c\u200bd e\u00adf g\ufeffh",
    "a\u0000b c\ufffdd", "a\u0085b c\u2028d e\u000bf g\u00a0h\u3000i", "ΆΑσΑ άα", "Zürich's Ősz, 0123-321?",
    "x" * 20, "y" * 21, "  ", "don't  stop\tnow\nhere",
]


def main():
    tokens = TOKENS + sorted(set(CHARACTERS)) + ["##" + c for c in sorted(set(CHARACTERS))] + ["hello", "world", "##ll"]
    vocab = {token: i for i, token in enumerate(tokens)}
    cases, shown = [], None
    for lower, strip, ideographs, clean in itertools.product((True, False), (None, True, False), (True, False),
                                                             (True, False)):
        tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=20))
        tokenizer.normalizer = normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=ideographs,
                                                          strip_accents=strip, lowercase=lower)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        shown = shown or json.loads(tokenizer.to_str())
        cases.append({"normalizer": json.loads(tokenizer.to_str())["normalizer"],
                      "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]})
    with open("spec/fixtures/text/tokenizer_json.json", "w", encoding="ascii") as file:
        json.dump({"tokenizer": shown, "texts": TEXTS, "cases": cases}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
