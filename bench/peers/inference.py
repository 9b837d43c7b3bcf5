"""The peers of bench/inference.lua: vectors of texts by other programs, one process per measurement.

Arguments: PEER PRECISION FOLDER MADE TEXTS SHAPE THREADS SECONDS BEGUN, where
PEER and PRECISION are keys of PEERS below, FOLDER is a model as transformers
saves it, MADE holds what inference_models.py made of it, TEXTS has a text a
line, SHAPE is "batch" (all texts are one batch) or "mix" (they are embedded as
the peer does best), and BEGUN is the monotonic clock's time before this process
started. A vector is the mean over a text's tokens; a step is from texts to
vectors, so tokenizing is part of it, for every peer.

Prints one JSON line: {"seconds": [...], "start": s, "rss": bytes, "version":
..., "precision": what it computes in, "vectors": [...] of a few texts}.
"""

import importlib
import importlib.util
import json
import os
import re
import sys
import time

LIMIT = 512  # tokens of a text
MOST = 32  # texts computed at a time, of a mix


class Words:
    """Texts to padded ids, by Hugging Face's tokenizers."""

    def __init__(self, folder):
        import numpy
        import tokenizers

        self.numpy = numpy
        path = os.path.join(folder, "tokenizer.json")
        if os.path.exists(path):
            self.tokenizer = tokenizers.Tokenizer.from_file(path)
        else:
            with open(os.path.join(folder, "tokenizer_config.json")) as file:
                lower = json.load(file)["do_lower_case"]
            vocabulary = os.path.join(folder, "vocab.txt")
            self.tokenizer = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=lower)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LIMIT)

    def batches(self, texts):
        """Batches of texts of similar length: (their places, {input: int64 [B, S]})."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        for first in range(0, len(order), MOST):
            places = order[first : first + MOST]
            ids = self.numpy.zeros((len(places), len(rows[places[0]])), self.numpy.int64)
            mask = self.numpy.zeros_like(ids)
            for at, place in enumerate(places):
                ids[at, : len(rows[place])] = rows[place]
                mask[at, : len(rows[place])] = 1
            yield places, {"input_ids": ids, "attention_mask": mask, "token_type_ids": self.numpy.zeros_like(ids)}


class Batched:
    """A peer that computes the vectors of one padded batch at a time."""

    def __init__(self, folder):
        self.words = Words(folder)

    def embed(self, texts):
        vectors = [None] * len(texts)
        for places, inputs in self.words.batches(texts):
            for place, vector in zip(places, self.compute(inputs)):
                vectors[place] = vector
        return vectors


class OnnxRuntime(Batched):
    """The graph that onnxruntime.transformers fused; int8 by its dynamic quantization."""

    def __init__(self, precision, folder, made, threads, mix):
        super().__init__(folder)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            os.path.join(made, precision + ".onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.precision = precision

    def compute(self, inputs):
        return self.session.run(None, inputs)[0]


class OpenVino:
    """A mix goes through a queue of as many streams as OpenVINO finds best, a batch is computed by all cores."""

    def __init__(self, precision, folder, made, threads, mix):
        self.words = Words(folder)
        import openvino

        options = {"PERFORMANCE_HINT": "THROUGHPUT" if mix else "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if precision == "fp32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        path = os.path.join(made, ("int8" if precision == "int8" else "fp32") + ".xml")
        compiled = openvino.Core().compile_model(path, "CPU", options)
        names = {"f32": "fp32", "f16": "fp16"}
        computed = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = "int8" if precision == "int8" else names.get(computed, computed)
        self.queue = openvino.AsyncInferQueue(compiled) if mix else None
        self.request = compiled.create_infer_request()

    def embed(self, texts):
        vectors = [None] * len(texts)

        def keep(request, places):
            for place, vector in zip(places, request.get_output_tensor().data.copy()):
                vectors[place] = vector

        if self.queue:
            self.queue.set_callback(keep)
        for places, inputs in self.words.batches(texts):
            if self.queue:
                self.queue.start_async(inputs, places)
            else:
                self.request.infer(inputs, share_inputs=True)
                keep(self.request, places)
        if self.queue:
            self.queue.wait_all()
        return vectors


class Torch(Batched):
    """transformers' BertModel with PyTorch's fused attention; bf16: its parameters are converted."""

    def __init__(self, precision, folder, made, threads, mix):
        super().__init__(folder)
        import torch
        import transformers

        torch.set_num_threads(threads)
        self.torch, self.precision = torch, precision
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=dtype).eval()

    def compute(self, inputs):
        inputs = {name: self.torch.from_numpy(array) for name, array in inputs.items()}
        with self.torch.inference_mode():
            hidden = self.model(**inputs).last_hidden_state.float()
            weights = inputs["attention_mask"].unsqueeze(-1).float()
            return ((hidden * weights).sum(1) / weights.sum(1)).numpy()


class SentenceTransformers:
    """It sorts texts by length and pads each batch to its longest."""

    def __init__(self, precision, folder, made, threads, mix):
        import sentence_transformers
        import torch

        torch.set_num_threads(threads)
        # A folder without modules.json gets the mean over tokens.
        self.model = sentence_transformers.SentenceTransformer(folder, device="cpu")
        self.model.max_seq_length = LIMIT
        self.precision = precision

    def embed(self, texts):
        return self.model.encode(texts, batch_size=MOST, show_progress_bar=False)


class Llama:
    """llama.cpp, through its Python bindings; a text's vector is that of its sequence in a batch of tokens."""

    def __init__(self, precision, folder, made, threads, mix):
        import llama_cpp

        self.precision = precision
        # Tokens at a time: attention is over all of them, so more take longer.
        options = {"n_ctx": LIMIT, "n_batch": LIMIT, "n_ubatch": LIMIT, "n_threads": threads, "n_threads_batch": threads}
        path = os.path.join(made, precision + ".gguf")
        self.model = llama_cpp.Llama(path, embedding=True, verbose=False, **options)

    def embed(self, texts):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = [None] * len(texts)
        for place, vector in zip(order, self.model.embed([texts[i] for i in order])):
            vectors[place] = vector
        return vectors


# Name: packages, the first of which is the peer; the class; its precisions.
PEERS = {
    "onnxruntime": (["onnxruntime", "tokenizers"], OnnxRuntime, ["fp32", "int8"]),
    "openvino": (["openvino", "tokenizers"], OpenVino, ["fp32", "default", "int8"]),
    "torch": (["torch", "transformers"], Torch, ["fp32", "bf16"]),
    "sentence-transformers": (["sentence_transformers"], SentenceTransformers, ["fp32"]),
    "llama.cpp": (["llama_cpp", "gguf", "transformers"], Llama, ["f16", "q8_0"]),
}


def peak_memory():
    """The most this process has had resident, in bytes: getrusage would also count its parent's."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def measure(peer, precision, folder, made, path, shape, threads, seconds, begun):
    with open(path, encoding="utf-8") as file:
        texts = file.read().splitlines()
    mix = shape == "mix"
    packages, kind, _ = PEERS[peer]
    model = kind(precision, folder, made, int(threads), mix)
    model.embed(texts[:1])
    start = time.monotonic() - float(begun)
    model.embed(texts)
    taken, least, first, seconds = [], 1 if mix else 3, time.monotonic(), float(seconds)

    def goes_on():
        passed = time.monotonic() - first
        return passed < seconds or (len(taken) < least and passed < 3 * seconds)

    while goes_on():
        before = time.monotonic()
        vectors = model.embed(texts)
        taken.append(time.monotonic() - before)
    places = sorted({len(texts) * i // 4 for i in range(4)})
    version = re.match(r"[\d.]*", importlib.import_module(packages[0]).__version__)[0]
    result = {"seconds": taken, "start": start, "rss": peak_memory(), "version": version}
    result |= {"precision": model.precision, "vectors": [[float(x) for x in vectors[place]] for place in places]}
    print(json.dumps(result))


def available(peer):
    """The peer's precisions, or what it lacks."""
    packages, _, precisions = PEERS[peer]
    lacks = [package for package in packages if importlib.util.find_spec(package) is None]
    return {"lacks": "no Python package " + ", ".join(lacks)} if lacks else {"precisions": precisions}


if __name__ == "__main__":
    if sys.argv[1] == "available":
        print(json.dumps(available(sys.argv[2])))
    else:
        measure(*sys.argv[1:])
