#!/usr/bin/env python3
"""Make spec/fixtures/weights: one tiny BERT as other programs save it.

    python3 spec/peers/make_weights_fixtures.py

Each part needs its own packages and is skipped without them: torch writes
model.bin, legacy.bin, views.bin, *_protocol?.bin; paddle writes *.pdparams through the modules
that BERT uses there, so that names and layout are Paddle's own; numpy writes
tensorflow.npz with the names of Google's checkpoints. The values depend only on
the parameters' names, so the parts can be made on different machines.
reference.safetensors holds the same values under Hugging Face's names; it
needs safetensors. Run from the repository's root; the results are committed.
"""

import pickle
import zlib
from collections import OrderedDict

import numpy

FOLDER = "spec/fixtures/weights/"
V, H, P, T, A, I, L = 24, 8, 12, 2, 2, 16, 2


def shapes():
    """Hugging Face's names and shapes of BertForPreTraining without the tied decoder."""
    out = OrderedDict()
    e = "bert.embeddings."
    out[e + "word_embeddings.weight"] = (V, H)
    out[e + "position_embeddings.weight"] = (P, H)
    out[e + "token_type_embeddings.weight"] = (T, H)
    norms, linears = [e + "LayerNorm"], []
    for i in range(L):
        p = f"bert.encoder.layer.{i}."
        linears += [(p + "attention.self." + n, H, H) for n in ("query", "key", "value")]
        linears += [(p + "attention.output.dense", H, H), (p + "intermediate.dense", I, H), (p + "output.dense", H, I)]
        norms += [p + "attention.output.LayerNorm", p + "output.LayerNorm"]
    linears += [("bert.pooler.dense", H, H), ("cls.predictions.transform.dense", H, H), ("cls.seq_relationship", 2, H)]
    norms.append("cls.predictions.transform.LayerNorm")
    for name, rows, columns in linears:
        out[name + ".weight"], out[name + ".bias"] = (rows, columns), (rows,)
    for name in norms:
        out[name + ".weight"], out[name + ".bias"] = (H,), (H,)
    out["cls.predictions.bias"] = (V,)
    return out


def value(name, shape):
    return numpy.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(numpy.float32)


def make_torch(values):
    import torch

    bare = OrderedDict()
    for name, array in values.items():
        name = name[5:] if name.startswith("bert.") else name
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        bare[name] = torch.from_numpy(array)
    bare["embeddings.position_ids"] = torch.arange(P)[None]
    bare["cls.predictions.decoder.weight"] = bare["embeddings.word_embeddings.weight"]
    query = "encoder.layer.0.attention.self.query.weight"
    bare[query] = torch.nn.Parameter(bare[query].t().contiguous().t())
    torch.save(bare, FOLDER + "model.bin")
    torch.save({"epoch": 3, "lr": 1e-4, "model": bare}, FOLDER + "legacy.bin", _use_new_zipfile_serialization=False)

    # Every storage dtype and kind of view, small enough to damage in every byte.
    base = torch.arange(24.0).reshape(4, 6)
    views = OrderedDict()
    views["whole"], views["transposed"], views["part"] = base, base.t(), base[1:3, 2:5]
    views["steps"], views["expanded"], views["scalar"] = base[::2, ::3], base[1, :1].expand(3), torch.tensor(2.5)
    views["f16"], views["bf16"] = base[0].half(), base[0].bfloat16()
    views["f64"], views["i64"], views["empty"] = base[0].double(), torch.arange(3), torch.zeros(0, 4)
    torch.save(views, FOLDER + "views.bin")
    torch.save(views, FOLDER + "views_legacy.bin", _use_new_zipfile_serialization=False)


def make_protocols(_):
    import torch

    # What torch.save writes where a program asks for another protocol of pickle; PyTorch itself cannot read 0.
    values = OrderedDict(matrix=torch.arange(6.0).reshape(2, 3), half=torch.arange(3.0).half())
    values["view"] = values["matrix"].t()
    for protocol in range(6):
        torch.save(values, f"{FOLDER}legacy_protocol{protocol}.bin", pickle_protocol=protocol,
                   _use_new_zipfile_serialization=False)
    for protocol in (0, 5):
        torch.save(values, f"{FOLDER}zip_protocol{protocol}.bin", pickle_protocol=protocol)


def make_paddle(values):
    import paddle
    from paddle import nn

    class Embeddings(nn.Layer):
        def __init__(self):
            super().__init__()
            self.word_embeddings, self.position_embeddings = nn.Embedding(V, H), nn.Embedding(P, H)
            self.token_type_embeddings, self.layer_norm = nn.Embedding(T, H), nn.LayerNorm(H)

    class Pooler(nn.Layer):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(H, H)

    class Bert(nn.Layer):
        def __init__(self):
            super().__init__()
            self.embeddings = Embeddings()
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(H, A, I), L)
            self.pooler = Pooler()

    class BertLMPredictionHead(nn.Layer):
        def __init__(self, table):
            super().__init__()
            self.transform, self.layer_norm, self.decoder_weight = nn.Linear(H, H), nn.LayerNorm(H), table
            self.decoder_bias = self.create_parameter([V], is_bias=True)

    class Heads(nn.Layer):
        def __init__(self, table):
            super().__init__()
            self.predictions, self.seq_relationship = BertLMPredictionHead(table), nn.Linear(H, 2)

    class BertForPretraining(nn.Layer):
        def __init__(self):
            super().__init__()
            self.bert = Bert()
            self.cls = Heads(self.bert.embeddings.word_embeddings.weight)

    renames = [("self_attn.q_proj", "attention.self.query"), ("self_attn.k_proj", "attention.self.key"),
               ("self_attn.v_proj", "attention.self.value"), ("self_attn.out_proj", "attention.output.dense"),
               ("linear1", "intermediate.dense"), ("linear2", "output.dense"), ("norm1", "attention.output.LayerNorm"),
               ("norm2", "output.LayerNorm"), ("encoder.layers", "encoder.layer"),
               ("embeddings.layer_norm", "embeddings.LayerNorm"), ("predictions.transform", "predictions.transform.dense"),
               ("predictions.layer_norm", "predictions.transform.LayerNorm"), ("decoder_bias", "bias"),
               ("predictions.decoder_weight", "none")]
    model = BertForPretraining()
    for name, parameter in model.named_parameters():
        for theirs, ours in renames:
            name = name.replace(theirs, ours)
        array = values[name]
        matrix = array.ndim == 2 and "embeddings" not in name
        parameter.set_value(numpy.ascontiguousarray(array.T) if matrix else array)
    state = model.state_dict()
    paddle.save(state, FOLDER + "protocol2.pdparams", protocol=2)
    paddle.save(state, FOLDER + "protocol4.pdparams", protocol=4)
    paddle.save({"model": state, "step": 3}, FOLDER + "nested.pdparams")
    paddle.save({k: t.astype("bfloat16") for k, t in state.items()}, FOLDER + "bf16.pdparams")

    # The names in a static program, as paddle.static.save writes them: in order of construction.
    by_parameter = {t.name: t.numpy() for t in state.values()}
    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup), paddle.utils.unique_name.guard():
        BertForPretraining()
    paddle.static.Executor().run(startup)
    paddle.static.save(main, "/tmp/bertlua-static")
    with open("/tmp/bertlua-static.pdparams", "rb") as file:
        written = pickle.load(file)
    assert sorted(written) == sorted(by_parameter), "a static program names its parameters otherwise"
    with open(FOLDER + "static.pdparams", "wb") as file:
        pickle.dump({name: by_parameter[name] for name in written}, file, protocol=4)


def make_tensorflow(values):
    out = {"global_step": numpy.array(7, numpy.int64)}
    for name, array in values.items():
        theirs = name.replace("layer.", "layer_").replace(".", "/")
        if theirs.endswith("LayerNorm/weight"):
            theirs = theirs.replace("LayerNorm/weight", "LayerNorm/gamma")
        elif theirs.endswith("LayerNorm/bias"):
            theirs = theirs.replace("LayerNorm/bias", "LayerNorm/beta")
        elif "_embeddings" in theirs:
            theirs = theirs[: -len("/weight")]
        elif theirs.startswith("cls/seq_relationship/"):
            theirs = theirs.replace("/weight", "/output_weights").replace("/bias", "/output_bias")
        elif theirs == "cls/predictions/bias":
            theirs = "cls/predictions/output_bias"
        elif theirs.endswith("/weight"):
            theirs, array = theirs[: -len("weight")] + "kernel", array.T
        out[theirs] = array
        out[theirs + "/adam_m"] = numpy.zeros(1, numpy.float32)
    numpy.savez(FOLDER + "tensorflow.npz", **out)


def make_reference(values):
    from safetensors.numpy import save_file

    save_file(dict(values), FOLDER + "reference.safetensors", metadata={"format": "pt"})


def main():
    values = OrderedDict((name, value(name, shape)) for name, shape in shapes().items())
    for make in (make_reference, make_torch, make_protocols, make_paddle, make_tensorflow):
        try:
            make(values)
        except ImportError as problem:
            print(f"{make.__name__} skipped: {problem}")


if __name__ == "__main__":
    main()
