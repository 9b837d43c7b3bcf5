#!/usr/bin/env python3
"""Check the evaluation of SQuAD predictions against a second implementation of the official rules.

    python3 spec/peers/check_squad_metrics.py --bertlua build/bertlua DATA.json ...

For each SQuAD file, predictions of several kinds are made up (gold answers,
empty, perturbed, from other questions, some missing), as are v2.0 questions
without answers and no-answer probabilities; both programs evaluate them and the
printed numbers must be the same to the last digit. Finally, one file has every
assigned Unicode character in and next to an article.
"""

import argparse
import collections
import json
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import unicodedata


def normalize(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1_score(predicted, gold, v2):
    p, g = normalize(predicted).split(), normalize(gold).split()
    if v2 and (not p or not g):
        return int(p == g)
    shared = sum((collections.Counter(p) & collections.Counter(g)).values())
    if shared == 0:
        return 0
    precision, recall = 1.0 * shared / len(p), 1.0 * shared / len(g)
    return (2 * precision * recall) / (precision + recall)


def exact_score(predicted, gold):
    return int(normalize(predicted) == normalize(gold))


def questions(data):
    return [qa for article in data for paragraph in article["paragraphs"] for qa in paragraph["qas"]]


def evaluate_v1(data, predictions):
    exact = f1 = total = 0
    for qa in questions(data):
        total += 1
        if qa["id"] not in predictions:
            continue
        predicted = predictions[qa["id"]]
        exact += max(exact_score(predicted, a["text"]) for a in qa["answers"])
        f1 += max(f1_score(predicted, a["text"], False) for a in qa["answers"])
    return json.dumps({"exact_match": 100.0 * exact / total, "f1": 100.0 * f1 / total})


def plain_sum(values):
    """sum() as it was before Python 3.12, without compensation."""
    total = 0
    for value in values:
        total += value
    return total


def group(scores, f1, ids):
    return [("exact", 100.0 * plain_sum(scores[i] for i in ids) / len(ids)),
            ("f1", 100.0 * plain_sum(f1[i] for i in ids) / len(ids)), ("total", len(ids))]


def best_threshold(predictions, scores, na_probs, has_answer):
    current = best = sum(1 for i in has_answer if not has_answer[i])
    threshold = 0.0
    for i in sorted(na_probs, key=lambda k: na_probs[k]):
        if i not in scores:
            continue
        current += scores[i] if has_answer[i] else (-1 if predictions[i] else 0)
        if current > best:
            best, threshold = current, na_probs[i]
    return 100.0 * best / len(scores), threshold


def evaluate_v2(data, predictions, na_probs, threshold):
    exact, f1, has_answer = {}, {}, {}
    for qa in questions(data):
        gold = [a["text"] for a in qa["answers"] if normalize(a["text"])] or [""]
        has_answer[qa["id"]] = bool(qa["answers"])
        exact[qa["id"]] = max(exact_score(predictions[qa["id"]], a) for a in gold)
        f1[qa["id"]] = max(f1_score(predictions[qa["id"]], a, True) for a in gold)
    probs = na_probs or dict.fromkeys(predictions, 0.0)

    def apply(scores):
        return {i: float(not has_answer[i]) if probs[i] > threshold else s for i, s in scores.items()}

    result = collections.OrderedDict(group(apply(exact), apply(f1), list(exact)))
    for prefix, wanted in (("HasAns", True), ("NoAns", False)):
        ids = [i for i, has in has_answer.items() if has == wanted]
        if ids:
            result.update((f"{prefix}_{k}", v) for k, v in group(apply(exact), apply(f1), ids))
    if na_probs:
        result["best_exact"], result["best_exact_thresh"] = best_threshold(predictions, exact, probs, has_answer)
        result["best_f1"], result["best_f1_thresh"] = best_threshold(predictions, f1, probs, has_answer)
    return json.dumps(result, indent=2)


def perturb(text, rng):
    words = text.split()
    kind = rng.randrange(6)
    if kind == 0:
        return "The " + text.upper() + "!"
    if kind == 1:
        return " ".join(words[: max(1, len(words) // 2)])
    if kind == 2:
        return " ".join(words + ["an", "x" * rng.randrange(4)])
    if kind == 3:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 4:
        return "\u00a0".join(rng.sample(words, len(words)))
    return "«" + text + "» a\u0301, the\u0301 A"


def prediction_kinds(data, rng):
    qas = questions(data)
    gold = {qa["id"]: qa["answers"][0]["text"] if qa["answers"] else "" for qa in qas}
    ids = list(gold)
    yield "gold", gold
    yield "empty", dict.fromkeys(ids, "")
    yield "perturbed", {i: perturb(t, rng) for i, t in gold.items()}
    yield "shuffled", dict(zip(ids, rng.sample([gold[i] for i in ids], len(ids))))
    yield "mixed", {i: rng.choice([t, perturb(t, rng), "", perturb(t, rng) + " " + t]) for i, t in gold.items()}
    yield "some", {i: perturb(t, rng) for i, t in gold.items() if rng.random() < 0.7}


class Checker:
    def __init__(self, bertlua, folder):
        self.bertlua, self.folder, self.count = bertlua, folder, 0

    def write(self, name, value):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=self.count % 2 == 0)
        return path

    def check(self, name, expected, data, predictions, extra=(), na_probs=None):
        command = [self.bertlua, "recipes/evaluate_squad.lua", "--predict-file", self.write("data.json", data),
                   "--predictions", self.write("predictions.json", predictions), *extra]
        if na_probs:
            command += ["--na-prob-file", self.write("na.json", na_probs)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0 or result.stdout != expected + "\n":
            sys.exit(f"{name}: printed {result.stdout!r} {result.stderr!r}, expected {expected!r}")
        self.count += 1
        print(f"{name}: {' '.join(expected.split())[:110]}")


def check_file(checker, path, rng):
    with open(path, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for qa in questions(articles):
        qa["id"] = str(qa["id"])
    data = {"version": "1.1", "data": articles}
    for kind, predictions in prediction_kinds(articles, rng):
        checker.check(f"{path} v1.1 {kind}", evaluate_v1(articles, predictions), data, predictions)
    for qa in questions(articles):
        if rng.random() < 0.4:
            qa["answers"] = []
        qa["is_impossible"] = not qa["answers"]
    for kind, predictions in prediction_kinds(articles, rng):
        if kind == "some":
            continue
        v2 = ["--version-2-with-negative"]
        checker.check(f"{path} v2.0 {kind}", evaluate_v2(articles, predictions, None, 1.0), data, predictions, v2)
        na_probs = {i: rng.choice([0.25, 0.5, rng.random()]) for i in rng.sample(list(predictions), len(predictions))}
        checker.check(f"{path} v2.0 {kind}, probabilities", evaluate_v2(articles, predictions, na_probs, 0.6), data,
                      predictions, v2 + ["--na-prob-thresh", "0.6"], na_probs)


def check_unicode(checker):
    """Every character between, before and after articles and capitals, against itself in another form."""
    characters = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    qas, predictions = [], {}
    for number, c in enumerate(characters):
        text = f"The{c} a{c}A AN {c}the Σ{c} aΣ{c}a x{c}y"
        qas.append({"id": str(number), "question": "?", "answers": [{"text": text, "answer_start": 0}]})
        predictions[str(number)] = f"{c} A {c.lower()} Y {text.lower()}"
    articles = [{"paragraphs": [{"context": "x", "qas": qas}]}]
    checker.check(f"{len(characters)} characters", evaluate_v1(articles, predictions), {"data": articles}, predictions)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bertlua", default="build/bertlua")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("data", nargs="*")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(args.bertlua, folder)
        for path in args.data:
            check_file(checker, path, rng)
        check_unicode(checker)
        print(f"{checker.count} evaluations are equal to the last digit")


if __name__ == "__main__":
    main()
