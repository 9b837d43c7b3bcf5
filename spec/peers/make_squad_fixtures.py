#!/usr/bin/env python3
"""Make spec/fixtures/squad: a small made-up data set with its features, answers and scores.

    python3 spec/peers/make_squad_fixtures.py

Expected values come from the rules in check_squad_features.py,
check_squad_answers.py and check_squad_metrics.py. Logits follow a formula that
the specs repeat. Needs numpy and safetensors (imported by those scripts).
"""

import argparse
import copy
import json

import check_squad_answers
import check_squad_metrics
from check_squad_features import Rules

FOLDER = "spec/fixtures/squad"
LIGHTHOUSE = (
    "The lighthouse on Gull Rock was built in 1871 by Señora Inés Álvarez (1829-1904), who paid for it herself. "
    "Its lamp burned whale oil until 1902, when it was electrified; the keeper, Jón Þórsson, complained that the new "
    "light \u201churt the birds\u201d. In the storm of 1936 the gallery\u202fwas lost, and for eleven years the tower "
    "stood dark. Restoration began in 1947 with a grant of \u20ac12,500 and ended three years later.\n\nToday about "
    "9\u00a0000 visitors a year climb its 143 steps. The café at the top serves smørrebrød and\ttea."
)
MIXED = (
    "東京は日本の首都です。 The word naïve, from the French naïf, keeps its dots; in decomposed form it is "
    "nai\u0308ve. Η Αθήνα είναι η πρωτεύουσα της Ελλάδας. 🦊 Foxes (Vulpes vulpes) weigh 6\u20137 kg; "
    "their name in Arabic is ثعلب. A \u200bhidden space follows."
)


def question(context, number, text, answer, others=(), shift=0):
    answers = [{"text": a, "answer_start": context.index(a) + shift} for a in (answer, *others)] if answer else []
    return {"id": f"q{number}", "question": text, "answers": answers, "is_impossible": not answer}


def data_set():
    questions = [
        question(LIGHTHOUSE, 1, "Who built the lighthouse?", "Inés Álvarez", ("Señora Inés Álvarez",)),
        question(LIGHTHOUSE, 2, "When did she die?", "1904"),
        question(LIGHTHOUSE, 3, "Of what did the keeper complain?", "\u201churt the birds\u201d", ("hurt the birds",)),
        question(LIGHTHOUSE, 4, "What was lost in 1936?", "the gallery\u202fwas"),
        question(LIGHTHOUSE, 5, "How many visitors climb the steps?", "9\u00a0000 visitors"),
        question(LIGHTHOUSE, 6, "What does the café serve?", "smørrebrød and\ttea", ("smørrebrød",)),
        question(LIGHTHOUSE, 7, "How tall is the tower?", None),
        question(LIGHTHOUSE, 8, "Is it true that " + "very " * 30 + "old lamps burned oil?", "whale oil"),
        question(LIGHTHOUSE, 9, "Which storm?", "storm of 1936", shift=40),
        question(LIGHTHOUSE, 10, "", "the tower stood dark"),
    ]
    mixed = [
        question(MIXED, 11, "日本の首都は?", "東京"),
        question(MIXED, 12, "Where does naïve come from?", "the French naïf"),
        question(MIXED, 13, "Ποια είναι η πρωτεύουσα;", "Αθήνα"),
        question(MIXED, 14, "How heavy are foxes?", "6\u20137 kg", ("6\u20137",)),
        question(MIXED, 15, "What is decomposed?", "nai\u0308ve"),
        question(MIXED, 16, "What is a fox in Arabic?", "ثعلب"),
        question(MIXED, 17, "Which emoji?", "🦊 Foxes"),
    ]
    empty = [{"id": "q18", "question": "What is here?", "answers": [], "is_impossible": True}]
    return {"version": "v2.0", "data": [
        {"title": "Gull Rock", "paragraphs": [{"context": LIGHTHOUSE, "qas": questions}]},
        {"title": "Mixture", "paragraphs": [{"context": MIXED, "qas": mixed}, {"context": "", "qas": empty}]},
    ]}


def logit(feature, place, side):
    """Multiples of 1/8, many of them equal, with a few peaks."""
    value = (feature * 37 + place * 101 + side * 53 + place * place * 7) % 97
    return value / 8


def features_of(rules, articles):
    names = ("ids", "start_position", "end_position", "example", "span", "query_length")
    found = []
    for feature in rules.features(articles):
        entry = {name: feature[name] for name in names}
        shift = feature["query_length"] + 2 - feature["start"]
        entry["max_context"] = [p + shift for p in range(feature["start"], feature["start"] + feature["length"])
                                if rules.has_max_context(feature["spans"], feature["span"], p)]
        found.append(entry)
    return found


def answers_of(rules, articles, args):
    tokens = {i: t for t, i in rules.vocabulary.items()}
    groups = {qa["id"]: [] for qa in check_squad_metrics.questions(articles)}
    ids, at, found = list(groups), 0, {}
    for feature in rules.features(articles):
        groups[ids[feature["example"] - 1]].append(feature)
    for qid, group in groups.items():
        rows = [([logit(f, i, 0) for i in range(args.max_seq_length)],
                 [logit(f, i, 1) for i in range(args.max_seq_length)]) for f in range(at, at + len(group))]
        at += len(group)
        text, best, odds = check_squad_answers.answer(group, rows, rules, tokens, args)
        found[qid] = {"text": text, "n_best": best, "odds": odds}
    return found


def scores(data):
    """Evaluations of made-up predictions, as the official programs print them."""
    articles = data["data"]
    answered = copy.deepcopy(articles)
    for article in answered:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = [qa for qa in paragraph["qas"] if qa["answers"]]
    gold = {qa["id"]: qa["answers"][0]["text"] if qa["answers"] else "" for qa in check_squad_metrics.questions(articles)}
    odd = {"q1": "THE Inés  alvarez!", "q3": "the birds", "q5": "about 9 000 visitors", "q6": "Smørrebrød, an’ tea",
           "q7": "143 steps", "q12": "a French naïf", "q13": "ΑΘΉΝΑ", "q14": "6–7", "q15": "naïve", "q16": "",
           "q17": "a\u0301 Foxes", "q2": "a"}
    mixed = {**gold, **odd}
    na_probs = {qid: round((i * 7 % 11) / 10, 1) for i, qid in enumerate(sorted(mixed, key=len))}
    kinds = {"gold": gold, "mixed": mixed, "empty": dict.fromkeys(gold, "")}
    return {
        "na_probs": na_probs, "na_order": list(na_probs), "predictions": kinds,
        "v1": {k: check_squad_metrics.evaluate_v1(answered, p) for k, p in kinds.items()},
        "v1_partly": check_squad_metrics.evaluate_v1(answered, odd), "partly": odd,
        "v2": {k: check_squad_metrics.evaluate_v2(articles, p, None, 1.0) for k, p in kinds.items()},
        "v2_thresh": {k: check_squad_metrics.evaluate_v2(articles, p, na_probs, 0.5) for k, p in kinds.items()},
    }


def main():
    args = argparse.Namespace(
        vocab_file="vocab/bert-base-uncased-vocab.txt", do_lower_case=True, max_seq_length=48, doc_stride=12,
        max_query_length=16, n_best_size=6, max_answer_length=8, null_score_diff_threshold=0.0,
        is_training=False, version_2_with_negative=False)
    data, expected = data_set(), {}
    for name, training, v2 in (("predict", False, False), ("train_v2", True, True)):
        args.is_training, args.version_2_with_negative = training, v2
        expected[name] = features_of(Rules(args), data["data"])
    args.is_training = False
    for name, v2 in (("answers", False), ("answers_v2", True)):
        args.version_2_with_negative = v2
        expected[name] = answers_of(Rules(args), data["data"], args)
    expected["settings"] = {k: v for k, v in vars(args).items() if k != "version_2_with_negative"}
    expected["scores"] = scores(data)
    with open(f"{FOLDER}/data.json", "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
    with open(f"{FOLDER}/expected.json", "w", encoding="utf-8") as file:
        json.dump(expected, file, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
