"""Makes what the peers of bench/inference.lua read out of a model's folder, once.

Arguments: PEER FOLDER MADE TEXTS. Writes the files of PEER into MADE that are
not there yet:

    onnxruntime   fp32.onnx: exported from transformers, fused by onnxruntime.transformers' optimizer;
                  int8.onnx: of that, dynamic, weights per channel
    openvino      fp32.xml: converted from transformers; int8.xml: weights and activations, by NNCF's
                  post-training quantization for transformers, calibrated with TEXTS
    llama.cpp     f16.gguf, q8_0.gguf: as its converter writes a BERT with WordPiece; matrices and
                  embeddings of words in that form, the rest in f32

The graphs end in the mean over a text's tokens. Prints {"made": [...], "lacks":
{precision: why}} as one JSON line.
"""

import json
import os
import sys
import tempfile

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
CALIBRATION = 128  # texts


def pooled(folder, attention):
    """A module from INPUTS, int64 [B, S], to vectors, f32 [B, H]; and the model's configuration."""
    import torch
    import transformers

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel.from_pretrained(
                folder, add_pooling_layer=False, attn_implementation=attention, dtype=torch.float32
            )

        def forward(self, input_ids, attention_mask, token_type_ids):
            hidden = self.bert(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * weights).sum(1) / weights.sum(1)

    # Exporters return to the mode of the outermost module: one that trains would then drop out.
    module = Pooled().eval()
    return module, module.bert.config


def example():
    """Two texts, one of which is padded: what a trace sees has to depend on the mask."""
    import torch

    ids = torch.randint(1000, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return ids, mask, torch.zeros_like(ids)


def onnx_fp32(folder, made, texts):
    import torch
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    module, config = pooled(folder, "eager")
    with tempfile.TemporaryDirectory(dir=made) as scratch:
        path = os.path.join(scratch, "exported.onnx")
        with torch.no_grad():
            torch.onnx.export(
                module,
                example(),
                path,
                dynamo=False,
                opset_version=17,
                input_names=INPUTS,
                output_names=["vectors"],
                dynamic_axes={name: {0: "batch", 1: "length"} for name in INPUTS} | {"vectors": {0: "batch"}},
            )
        fused = optimizer.optimize_model(
            path,
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            opt_level=0,
            optimization_options=FusionOptions("bert"),
        )
        if not fused.is_fully_optimized():
            raise RuntimeError("the optimizer did not fuse all of BERT: %s" % fused.get_fused_operator_statistics())
        path = os.path.join(scratch, "fused.onnx")
        fused.save_model_to_file(path)
        os.rename(path, os.path.join(made, "fp32.onnx"))


def onnx_int8(folder, made, texts):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = os.path.join(made, "partial.onnx")
    # Types aren't inferred behind fused operators.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        os.path.join(made, "fp32.onnx"), path, per_channel=True, weight_type=QuantType.QInt8, extra_options=options
    )
    os.rename(path, os.path.join(made, "int8.onnx"))


def save_openvino(model, made, name):
    import openvino

    path = os.path.join(made, "partial.xml")
    openvino.save_model(model, path, compress_to_fp16=False)
    os.rename(path[:-4] + ".bin", os.path.join(made, name + ".bin"))
    os.rename(path, os.path.join(made, name + ".xml"))


def openvino_fp32(folder, made, texts):
    import openvino

    module, _ = pooled(folder, "sdpa")
    shapes = [(name, openvino.PartialShape([-1, -1]), openvino.Type.i64) for name in INPUTS]
    model = openvino.convert_model(
        module, example_input=dict(zip(INPUTS, example())), input=[(name, shape, kind) for name, shape, kind in shapes]
    )
    save_openvino(model, made, "fp32")


def openvino_int8(folder, made, texts):
    import nncf
    import openvino
    from inference import Words

    batches = [inputs for text in texts[:CALIBRATION] for _, inputs in Words(folder).batches([text])]
    model = nncf.quantize(
        openvino.Core().read_model(os.path.join(made, "fp32.xml")),
        nncf.Dataset(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(batches),
    )
    save_openvino(model, made, "int8")


def write_gguf(folder, path, kind):
    """A BERT whose vectors are means over tokens; kind is a name of gguf.GGMLQuantizationType."""
    import gguf
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
    config = model.config
    with open(os.path.join(folder, "tokenizer_config.json")) as file:
        if not json.load(file).get("do_lower_case", True):
            raise RuntimeError("llama.cpp lower-cases all texts, this vocabulary is cased")
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        words = file.read().splitlines()

    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType["MOSTLY_" + kind])
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(config.type_vocab_size)
    # Where a word begins has a mark, in place of one where it goes on.
    special = {word for word in words if word[:1] == "[" and word[-1:] == "]" and len(word) > 2}
    writer.add_token_list([w if w in special else w[2:] if w.startswith("##") else "\u2581" + w for w in words])
    writer.add_token_types([gguf.TokenType.CONTROL if w in special else gguf.TokenType.NORMAL for w in words])
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise RuntimeError("gguf has no name for " + name)
        low = tensor.ndim == 2 and not theirs.startswith(("position_embd", "token_types"))
        form = gguf.GGMLQuantizationType[kind if low else "F32"]
        writer.add_tensor(theirs, gguf.quants.quantize(tensor.numpy(), form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_maker(kind):
    def make(folder, made, texts):
        path = os.path.join(made, "partial.gguf")
        write_gguf(folder, path, kind)
        os.rename(path, os.path.join(made, kind.lower() + ".gguf"))

    return make


MAKERS = {
    "onnxruntime": [("fp32", "fp32.onnx", onnx_fp32), ("int8", "int8.onnx", onnx_int8)],
    "openvino": [("fp32", "fp32.xml", openvino_fp32), ("int8", "int8.xml", openvino_int8)],
    "llama.cpp": [("f16", "f16.gguf", gguf_maker("F16")), ("q8_0", "q8_0.gguf", gguf_maker("Q8_0"))],
}


def main():
    peer, folder, made, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        texts = file.read().splitlines()
    os.makedirs(made, exist_ok=True)
    result = {"made": [], "lacks": {}}
    for precision, name, make in MAKERS.get(peer, []):
        if not os.path.exists(os.path.join(made, name)):
            try:
                make(folder, made, texts)
                result["made"].append(name)
            except Exception as error:  # Whatever it is, the other precisions can be measured.
                result["lacks"][precision] = "%s: %s" % (type(error).__name__, str(error).strip().split("\n")[0])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
