#!/usr/bin/env python3
"""Check SQuAD features against a second implementation of the published rules.

    build/bertlua spec/peers/dump_squad_features.lua --data-file D.json --vocab-file V.txt --output-dir /tmp/f
    python3 spec/peers/check_squad_features.py --data-file D.json --vocab-file V.txt --features /tmp/f/D.json....safetensors

Features are recomputed from the JSON with the rules of Google's run_squad.py
(words, WordPiece tokens, windows, maximum context by exhaustive comparison,
improved answer spans), and every id, position, flag and word is compared. With
--overflow the sequences are also made by the `tokenizers` package, using its
truncation with overlap, except for texts with private or unassigned characters,
which it drops and BERT's own tokenizer keeps.
Needs numpy and safetensors; --overflow needs tokenizers.
"""

import argparse
import json
import sys
import unicodedata

import numpy
from safetensors import safe_open


def is_space(c):
    return c in " \t\r\n" or ord(c) == 0x202F


def split_words(context):
    """Words, the number of the word at each character, and the characters of each word."""
    words, word_of, places, inside = [], [], [], False
    for i, c in enumerate(context):
        if is_space(c):
            inside = False
        else:
            if inside:
                words[-1] += c
                places[-1][1] = i + 1
            else:
                words.append(c)
                places.append([i, i + 1])
            inside = True
        word_of.append(len(words) - 1)
    return words, word_of, places


CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
       (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_punctuation(c):
    code = ord(c)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(c).startswith("P")


def clean(text):
    """Control characters dropped, white space normalized, CJK ideographs set apart."""
    out = []
    for c in text:
        code = ord(c)
        if c in " \t\n\r" or unicodedata.category(c) == "Zs":
            out.append(" ")
        elif code in (0, 0xFFFD) or unicodedata.category(c) in ("Cc", "Cf"):
            continue
        elif any(low <= code <= high for low, high in CJK):
            out.append(" " + c + " ")
        else:
            out.append(c)
    return "".join(out)


def basic_tokens(text, do_lower_case):
    tokens = []
    for word in clean(text).split():
        if do_lower_case:
            word = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        current = ""
        for c in word:
            if is_punctuation(c):
                tokens += [current, c]
                current = ""
            else:
                current += c
        tokens.append(current)
    return " ".join(tokens).split()


class Rules:
    def __init__(self, args):
        self.args = args
        with open(args.vocab_file, encoding="utf-8") as file:
            self.vocabulary = {line.rstrip("\n"): i for i, line in enumerate(file)}
        self.cls, self.sep = self.vocabulary["[CLS]"], self.vocabulary["[SEP]"]
        self.known = {}

    def pieces(self, token):
        """Longest match first; a word that does not fit the vocabulary, or has more than 200 characters, is [UNK]."""
        ids, start = [], 0
        while start < len(token) <= 200:
            for end in range(len(token), start, -1):
                piece = self.vocabulary.get(("##" if start else "") + token[start:end])
                if piece is not None:
                    break
            else:
                return [self.vocabulary["[UNK]"]]
            ids.append(piece)
            start = end
        return ids if len(token) <= 200 else [self.vocabulary["[UNK]"]]

    def ids(self, text):
        ids = []
        for word in text.split(" "):
            if word not in self.known:
                self.known[word] = [i for token in basic_tokens(word, self.args.do_lower_case) for i in self.pieces(token)]
            ids += self.known[word]
        return ids

    def answer_span(self, words, word_of, first_token, tokens, answer):
        """Token range of the answer, or None if it has to be skipped."""
        start, text = answer["answer_start"], answer["text"]
        if not text.strip() or start < 0 or start + len(text) > len(word_of):
            return None
        first, last = word_of[start], word_of[start + len(text) - 1]
        if first < 0 or " ".join(words[first : last + 1]).find(" ".join(text.split())) == -1:
            return None
        begin = first_token[first]
        end = first_token[last + 1] - 1 if last < len(words) - 1 else len(tokens) - 1
        wanted = self.ids(text)
        for new_begin in range(begin, end + 1):
            for new_end in range(end, new_begin - 1, -1):
                if tokens[new_begin : new_end + 1] == wanted:
                    return new_begin, new_end
        return begin, end

    def windows(self, count, room):
        spans, start = [], 0
        while start < count:
            length = min(count - start, room)
            spans.append((start, length))
            if start + length == count:
                break
            start += min(length, self.args.doc_stride)
        return spans

    def has_max_context(self, spans, current, position):
        best, best_score = None, None
        for index, (start, length) in enumerate(spans):
            end = start + length - 1
            if position < start or position > end:
                continue
            score = min(position - start, end - position) + 0.01 * length
            if best_score is None or score > best_score:
                best, best_score = index, score
        return best == current

    def features(self, articles):
        """Yields one dictionary per feature; contexts are tokenized once."""
        args = self.args
        example = 0
        for article in articles:
            for paragraph in article["paragraphs"]:
                words, word_of, places = split_words(paragraph["context"])
                tokens, token_word, first_token = [], [], []
                for i, word in enumerate(words):
                    first_token.append(len(tokens))
                    ids = self.ids(word)
                    tokens += ids
                    token_word += [i] * len(ids)
                for qa in paragraph["qas"]:
                    impossible = args.version_2_with_negative and qa.get("is_impossible", not qa["answers"])
                    span = None
                    if args.is_training and not impossible:
                        span = self.answer_span(words, word_of, first_token, tokens, qa["answers"][0])
                        if span is None:
                            continue
                    example += 1
                    query = self.ids(qa["question"])[: args.max_query_length]
                    spans = self.windows(len(tokens), args.max_seq_length - len(query) - 3)
                    for index, (start, length) in enumerate(spans):
                        begin = end = 0
                        if span and span[0] >= start and span[1] <= start + length - 1:
                            begin = span[0] - start + len(query) + 2
                            end = span[1] - start + len(query) + 2
                        yield {
                            "ids": [self.cls] + query + [self.sep] + tokens[start : start + length] + [self.sep],
                            "start_position": begin, "end_position": end, "example": example, "span": index,
                            "query_length": len(query), "spans": spans, "start": start, "length": length,
                            "token_word": token_word, "places": places, "words": words,
                            "context": paragraph["context"],
                        }


def byte_places(context, places, cache={}):
    """Positions of words in bytes instead of characters."""
    if cache.get("context") is not context:
        offsets, at = [0], 0
        for c in context:
            at += len(c.encode())
            offsets.append(at)
        cache["context"], cache["places"] = context, [(offsets[a], offsets[b]) for a, b in places]
    return cache["places"]


def compare(number, feature, ours, rules, ranges):
    low, high = ours["offsets"][number], ours["offsets"][number + 1]
    if not numpy.array_equal(ours["ids"][low:high], feature["ids"]):
        sys.exit(f"feature {number}: ids differ")
    for name in ("start_position", "end_position", "example", "span", "query_length"):
        if ours[name][number] != feature[name]:
            sys.exit(f"feature {number}: {name} is {ours[name][number]}, expected {feature[name]}")
    # With the usual settings, windows further away never contain a token of this one.
    shift = feature["query_length"] + 2
    key = (tuple(feature["spans"]), feature["span"])
    if key not in ranges:
        ranges[key] = [
            i
            for i in range(feature["length"])
            if rules.has_max_context(feature["spans"][max(0, feature["span"] - 4) : feature["span"] + 5],
                                     min(4, feature["span"]), feature["start"] + i)
        ]
    if list(range(ours["max_first"][number] - shift, ours["max_last"][number] - shift + 1)) != ranges[key]:
        sys.exit(f"feature {number}: tokens with maximum context differ")
    places = byte_places(feature["context"], feature["places"])
    at = ours["doc_token"][number]
    words = feature["token_word"][feature["start"] : feature["start"] + feature["length"]]
    mine = numpy.stack([ours["word_start"][at : at + len(words)], ours["word_stop"][at : at + len(words)]], 1)
    if not numpy.array_equal(mine, [places[w] for w in words]):
        sys.exit(f"feature {number}: words of tokens differ")


def check_overflow(articles, ours, args):
    """Check the sequences by truncation with overlap; needs features of every question (--is-training false)."""
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.models import WordPiece

    tokenizer = BertWordPieceTokenizer(args.vocab_file, lowercase=args.do_lower_case)
    tokenizer._tokenizer.model = WordPiece(tokenizer.get_vocab(), unk_token="[UNK]", max_input_chars_per_word=200)
    example, checked = 0, 0
    for article in articles:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                example += 1
                first = numpy.searchsorted(ours["example"], example)
                tokenizer.no_truncation()
                query = tokenizer.encode(qa["question"], add_special_tokens=False).ids
                text = qa["question"] + paragraph["context"]
                if len(query) > args.max_query_length or any(unicodedata.category(c) in ("Co", "Cn") for c in text):
                    continue
                overlap = args.max_seq_length - len(query) - 3 - args.doc_stride
                tokenizer.enable_truncation(args.max_seq_length, stride=overlap, strategy="only_second")
                encoding = tokenizer.encode(qa["question"], paragraph["context"])
                sequences = [encoding] + encoding.overflowing
                if len(sequences) != numpy.searchsorted(ours["example"], example + 1) - first:
                    sys.exit(f"question {example}: expected {len(sequences)} windows")
                for number, one in enumerate(sequences, first):
                    low, high = ours["offsets"][number], ours["offsets"][number + 1]
                    if not numpy.array_equal(ours["ids"][low:high], one.ids):
                        sys.exit(f"feature {number}: ids differ from the tokenizer's own windows")
                checked += len(sequences)
    if example != ours["example"][-1]:
        sys.exit(f"{example} questions, but the features are for {ours['example'][-1]}")
    print(f"{checked} of {len(ours['span'])} sequences equal those of the tokenizer's own truncation")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-file", required=True)
    parser.add_argument("--vocab-file", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--do-lower-case", type=lambda x: x == "true", default=True)
    parser.add_argument("--is-training", type=lambda x: x == "true", default=True)
    parser.add_argument("--version-2-with-negative", type=lambda x: x == "true", default=False)
    parser.add_argument("--max-seq-length", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=128)
    parser.add_argument("--max-query-length", type=int, default=64)
    parser.add_argument("--overflow", action="store_true")
    args = parser.parse_args()
    with open(args.data_file, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    with safe_open(args.features, "numpy") as file:
        ours = {name: file.get_tensor(name) for name in file.keys()}
    rules = Rules(args)
    count, ranges = 0, {}
    for feature in rules.features(articles):
        if count >= len(ours["span"]):
            sys.exit(f"{count} features, expected more")
        compare(count, feature, ours, rules, ranges)
        count += 1
    if count != len(ours["span"]):
        sys.exit(f"{len(ours['span'])} features, expected {count}")
    print(f"{count} features, {len(ours['ids'])} ids and all positions, flags and words are equal")
    if args.overflow:
        check_overflow(articles, ours, args)


if __name__ == "__main__":
    main()
