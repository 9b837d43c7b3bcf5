"""Pairs of texts, with scores or without, by the models, losses and the evaluator of sentence-transformers."""

import sys

import torch
from sentence_transformers import SentenceTransformer, losses, util
from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

from finetuning.common import ATTENTION, batch_of, check_equal, read_table, rows_of, tell_equal


class Task:
    def __init__(self, args):
        self.args = args
        self.model = SentenceTransformer(args.start, device="cpu", model_kwargs={"attn_implementation": ATTENTION})
        self.objective = args.objective or ("cosine" if args.label_column else "multiple_negatives")

    def load(self, path):
        args = self.args
        texts, pairs, scores = read_table(path, [args.text_column, args.pair_column, args.label_column])
        self.texts, self.pairs, self.scores = texts, pairs, scores and [float(s) for s in scores]
        flat = [text for row in zip(texts, pairs) for text in row]
        ids = self.model.tokenizer(flat, truncation=True, max_length=args.max_seq_length)["input_ids"]
        divisor = args.max_score or max(1, *map(abs, self.scores)) if self.objective == "cosine" else 1
        return ids, [[0] * len(row) for row in ids], scores and [s / divisor for s in self.scores]

    def check(self, features, data):
        ids, _, scores = features
        check_equal("sequences", ids, rows_of(data, "ids", "offsets"))
        if scores:
            check_equal("scores", scores, data["labels"].tolist(), lambda a, b: abs(a - b) < 1e-6)
        tell_equal(ids, f"texts of {len(self.texts)} pairs")

    def open(self):
        model, scale = self.model, self.args.similarity_scale
        self.of_batch = {
            "cosine": lambda: losses.CosineSimilarityLoss(model),
            "cosent": lambda: losses.CoSENTLoss(model, scale=scale),
            "multiple_negatives": lambda: losses.MultipleNegativesRankingLoss(model, scale=scale),
        }[self.objective]()
        return model

    def loss(self, _model, features, members):
        """Texts and their pairs pass through the model one after the other, each padded to its own longest."""
        ids, types, scores = features
        sides = [batch_of(ids, types, [2 * i + side for i in members])[0] for side in (0, 1)]
        return self.of_batch(sides, torch.tensor([scores[i] for i in members]) if scores else None)

    def save(self, model, path):
        model.save_pretrained(path)

    def evaluate(self, model, _features):
        if not self.scores:
            sys.exit("a test file needs scores: name their column with --label-column")
        model.eval()
        evaluator = EmbeddingSimilarityEvaluator(self.texts, self.pairs, self.scores, main_similarity="cosine")
        figures = evaluator(model)
        first, second = (model.encode(t, convert_to_tensor=True) for t in (self.texts, self.pairs))
        cosines = util.pairwise_cos_sim(first, second).tolist()
        records = [{"text": t, "pair": p, "score": c} for t, p, c in zip(self.texts, self.pairs, cosines)]
        return {name: float(figures[name + "_cosine"]) for name in ("spearman", "pearson")}, records
