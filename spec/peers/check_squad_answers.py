#!/usr/bin/env python3
"""Check the answers derived from logits against a second implementation of the published rules.

    python3 spec/peers/check_squad_answers.py --data-file D.json --vocab-file V.txt [--bertlua build/bertlua]

Makes up logits of several kinds for every feature (noise, noise with many ties,
peaks around random spans), lets bertlua answer, and recomputes predictions,
n-best lists and null odds with the rules of Google's run_squad.py: texts,
logits and null odds must be equal, probabilities to 15 digits. With
--transformers, predictions are also compared with those of transformers (version
4), which answers "empty" where v2.0 has no span at all, while bertlua gives no text.
Needs numpy and safetensors.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy
from check_squad_features import Rules, basic_tokens
from safetensors.numpy import save_file


def strip_spaces(text):
    letters, places = [], []
    for i, c in enumerate(text):
        if c != " ":
            places.append(i)
            letters.append(c)
    return letters, places


def final_text(predicted, original, do_lower_case):
    tokenized = " ".join(basic_tokens(original, do_lower_case))
    start = tokenized.find(predicted)
    if start == -1:
        return original
    original_letters, original_places = strip_spaces(original)
    tokenized_letters, tokenized_places = strip_spaces(tokenized)
    if len(original_letters) != len(tokenized_letters):
        return original
    number = {place: n for n, place in enumerate(tokenized_places)}
    end = start + len(predicted) - 1
    if start not in number or end not in number:
        return original
    return original[original_places[number[start]] : original_places[number[end]] + 1]


def best_places(logits, n):
    return [i for i, _ in sorted(enumerate(logits), key=lambda x: x[1], reverse=True)[:n]]


def answer(features, rows, rules, tokens, args):
    """Predictions for one question; features and rows of logits are those of its windows."""
    candidates, null = [], (1000000, 0, 0, 0)
    for index, (feature, (starts, ends)) in enumerate(zip(features, rows)):
        shift = feature["query_length"] + 2
        context = range(shift, shift + feature["length"])
        if starts[0] + ends[0] < null[0]:
            null = (starts[0] + ends[0], index, starts[0], ends[0])
        end_places = best_places(ends, args.n_best_size)
        for start in best_places(starts, args.n_best_size):
            if start not in context:
                continue
            if not rules.has_max_context(feature["spans"], feature["span"], feature["start"] + start - shift):
                continue
            for end in end_places:
                if end in context and start <= end < start + args.max_answer_length:
                    candidates.append((index, start, end, starts[start], ends[end]))
    if args.version_2_with_negative:
        candidates.append((null[1], 0, 0, null[2], null[3]))
    candidates.sort(key=lambda x: x[3] + x[4], reverse=True)
    best, seen = [], set()
    for index, start, end, start_logit, end_logit in candidates:
        if len(best) >= args.n_best_size:
            break
        text = ""
        if start > 0:
            feature = features[index]
            shift = feature["query_length"] + 2 - feature["start"]
            words = feature["words"][feature["token_word"][start - shift] : feature["token_word"][end - shift] + 1]
            pieces = " ".join(tokens[i] for i in feature["ids"][start : end + 1]).replace(" ##", "").replace("##", "")
            text = final_text(" ".join(pieces.split()), " ".join(words), args.do_lower_case)
            if text in seen:
                continue
        seen.add(text)
        best.append({"text": text, "start_logit": start_logit, "end_logit": end_logit})
    if args.version_2_with_negative and "" not in seen:
        best.append({"text": "", "start_logit": null[2], "end_logit": null[3]})
    if not best:
        best.append({"text": "empty", "start_logit": 0.0, "end_logit": 0.0})
    scores = [b["start_logit"] + b["end_logit"] for b in best]
    exps = [math.exp(s - max(scores)) for s in scores]
    total = 0.0
    for e in exps:
        total += e
    for b, e in zip(best, exps):
        b["probability"] = e / total
    if not args.version_2_with_negative:
        return best[0]["text"], best, None
    first = next((b for b in best if b["text"]), None)
    if first is None:
        return "", best, null[0]
    odds = null[0] - first["start_logit"] - first["end_logit"]
    return "" if odds > args.null_score_diff_threshold else first["text"], best, odds


def made_up_logits(kind, shape, rng):
    logits = rng.normal(0, 3, (2,) + shape).astype("float32")
    if kind == "ties":
        logits = numpy.round(logits)
    elif kind == "peaks":
        for f in range(shape[0]):
            for _ in range(3):
                start = rng.integers(0, shape[1] - 1)
                logits[0, f, start] += 9
                logits[1, f, min(shape[1] - 1, start + rng.integers(0, 12))] += 9
    return logits


def same(kind, theirs, ours):
    """The first difference between the expected and bertlua's output as text, or None."""
    for qid, (prediction, best, odds) in theirs.items():
        if ours["predictions"].get(qid) != prediction:
            return f"{qid}: {ours['predictions'].get(qid)!r}, expected {prediction!r}"
        if odds is not None and ours["null_odds"][qid] != odds:
            return f"{qid}: null odds {ours['null_odds'][qid]}, expected {odds}"
        mine = ours["nbest_predictions"][qid]
        if len(mine) != len(best):
            return f"{qid}: {len(mine)} answers, expected {len(best)}"
        for a, b in zip(mine, best):
            if any(a[k] != b[k] for k in ("text", "start_logit", "end_logit")):
                return f"{qid}: {a}, expected {b}"
            if abs(a["probability"] - b["probability"]) > 1e-15 * b["probability"]:
                return f"{qid}: probability {a['probability']!r}, expected {b['probability']!r}"
    return None if len(ours["predictions"]) == len(theirs) else "number of predictions"


def with_transformers(groups, logits, tokens, args, folder):
    """Predictions of transformers' compute_predictions_logits; answers that begin inside a word are as Google's."""
    from transformers import BertTokenizer
    from transformers.data.metrics.squad_metrics import compute_predictions_logits
    from transformers.data.processors.squad import SquadExample, SquadFeatures, SquadResult

    rules = Rules(args)
    examples, features, results, unique = [], [], [], 0
    for number, (qid, group) in enumerate(groups):
        examples.append(SquadExample(qid, "", group[0]["context"] if group else "", None, None, ""))
        if group:
            examples[-1].doc_tokens = group[0]["words"]
        for feature in group:
            shift = feature["query_length"] + 2 - feature["start"]
            places = range(feature["query_length"] + 2, feature["query_length"] + 2 + feature["length"])
            features.append(SquadFeatures(
                None, None, None, 0, None, example_index=number, unique_id=unique, paragraph_len=feature["length"],
                token_is_max_context={
                    p: rules.has_max_context(feature["spans"], feature["span"], p - shift) for p in places},
                tokens=[tokens[i] for i in feature["ids"]],
                token_to_orig_map={p: feature["token_word"][p - shift] for p in places},
                start_position=0, end_position=0, is_impossible=False))
            results.append(SquadResult(unique, logits[0][unique].tolist(), logits[1][unique].tolist()))
            unique += 1
    tokenizer = BertTokenizer(args.vocab_file, do_lower_case=args.do_lower_case)
    tokenizer.convert_tokens_to_string = lambda pieces: " ".join(pieces).replace(" ##", "").replace("##", "")
    return compute_predictions_logits(
        examples, features, results, args.n_best_size, args.max_answer_length, args.do_lower_case,
        os.path.join(folder, "p"), os.path.join(folder, "n"), os.path.join(folder, "o"), False,
        args.version_2_with_negative, args.null_score_diff_threshold, tokenizer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-file", required=True)
    parser.add_argument("--vocab-file", required=True)
    parser.add_argument("--bertlua", default="build/bertlua")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--kinds", nargs="+", default=["noise", "ties", "peaks"], choices=["noise", "ties", "peaks"])
    args = parser.parse_args(namespace=argparse.Namespace(
        do_lower_case=True, is_training=False, max_seq_length=384, doc_stride=128, max_query_length=64,
        n_best_size=20, max_answer_length=30, null_score_diff_threshold=0.0, version_2_with_negative=False))
    with open(args.data_file, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    rules = Rules(args)
    tokens = {i: t for t, i in rules.vocabulary.items()}
    ids = [str(q["id"]) for a in articles for p in a["paragraphs"] for q in p["qas"]]
    groups = [(qid, []) for qid in ids]
    for feature in rules.features(articles):
        groups[feature["example"] - 1][1].append(feature)
    count = sum(len(group) for _, group in groups)
    rng = numpy.random.default_rng(1)
    for kind in args.kinds:
        logits = made_up_logits(kind, (count, args.max_seq_length), rng)
        for v2 in (False, True):
            args.version_2_with_negative = v2
            theirs, at = {}, 0
            for qid, group in groups:
                rows = [(logits[0][f].tolist(), logits[1][f].tolist()) for f in range(at, at + len(group))]
                at += len(group)
                theirs[qid] = answer(group, rows, rules, tokens, args)
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "logits.safetensors")
                save_file({"start_logits": logits[0], "end_logits": logits[1]}, path)
                out = subprocess.run(
                    [args.bertlua, "spec/peers/dump_squad_answers.lua", "--data-file", args.data_file, "--vocab-file",
                     args.vocab_file, "--logits", path, "--output-dir", folder, "--version-2-with-negative",
                     str(v2).lower()], capture_output=True, text=True)
                if out.returncode != 0:
                    sys.exit(out.stderr)
                ours = {}
                for name in ["predictions", "nbest_predictions"] + ["null_odds"] * v2:
                    with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
                        ours[name] = json.load(file)
                problem = same(kind, theirs, ours)
                if problem:
                    sys.exit(f"{kind}, v2 {v2}: {problem}")
                note = ""
                if args.transformers:
                    other = with_transformers(groups, logits, tokens, args, folder)
                    differ = [q for q in other if other[q] != ours["predictions"][q]]
                    note = f"; transformers differs in {len(differ)}: {differ[:5]}"
            print(f"{kind}, v2 {v2}: {len(theirs)} questions equal; {out.stdout.strip()}{note}")


if __name__ == "__main__":
    main()
