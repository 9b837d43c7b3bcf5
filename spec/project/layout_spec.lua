--- Specs mirror the tree by name, so that whoever changes a file finds its spec at once.
--
--     lua/bertlua/train/checkpoint.lua   spec/lua/train/checkpoint_spec.lua
--     bindings/bertlua/tensor.lua        spec/bindings/tensor_spec.lua
--     engine/ops/gather.c                spec/engine/ops/...: a spec stands in the folder of its room
--     recipes/                           spec/recipes/...: whole runs through the executable
--
-- A module without a spec of its name is in COVERED, with the specs that run it and the reason that it needs none of
-- its own. Before listing a module there, check that those specs do run it.

local lfs = require "lfs"

-- module = { why it has no spec of its own, specs that run it, ... }
local COVERED = {
    -- The bindings: calls of the engine, specified with the engine's own rooms.
    ["bindings/bertlua/affinity.lua"] = { "two calls", "spec/lua/distributed/placement_spec.lua" },
    ["bindings/bertlua/corpus.lua"] = { "calls of wiki and corpus", "spec/engine/wiki/dump_spec.lua",
        "spec/engine/wiki/wikitext_spec.lua", "spec/engine/corpus/deal_spec.lua", "spec/lua/corpus/stage_spec.lua",
        "spec/lua/util/download_spec.lua" },
    ["bindings/bertlua/data.lua"] = { "calls of data", "spec/engine/data/loader_spec.lua",
        "spec/engine/data/shard_spec.lua", "spec/lua/data/create_pretraining_spec.lua",
        "spec/lua/data/document_files_spec.lua" },
    ["bindings/bertlua/encoder_queue.lua"] = { "calls of encoder_queue", "spec/engine/encoder/queue_spec.lua" },
    ["bindings/bertlua/element.lua"] = { "how tensors read and write an element", "spec/bindings/tensor_spec.lua" },
    ["bindings/bertlua/encoder_api.lua"] = { "calls of encoder", "spec/engine/encoder/compute_spec.lua",
        "spec/engine/encoder/embed_spec.lua", "spec/engine/encoder/model_spec.lua" },
    ["bindings/bertlua/ffi.lua"] = { "under all the others; its errors", "spec/bindings/ops_spec.lua",
        "spec/engine/storage/file_spec.lua", "spec/engine/text/tokenizer_spec.lua" },
    ["bindings/bertlua/optim.lua"] = { "calls of optim", "spec/engine/optim/lamb_spec.lua",
        "spec/engine/optim/adamw_spec.lua",
        "spec/engine/optim/grad_norm_spec.lua", "spec/engine/optim/loss_scale_spec.lua",
        "spec/engine/optim/partition_spec.lua" },
    ["bindings/bertlua/storage.lua"] = { "calls of storage", "spec/engine/storage/safetensors_spec.lua",
        "spec/engine/storage/file_spec.lua", "spec/engine/storage/crc32c_spec.lua", "spec/lua/weights/source_spec.lua",
        "spec/lua/util/term_spec.lua", "spec/lua/train/tensorboard_spec.lua" },
    ["bindings/bertlua/text_stream.lua"] = { "calls of text_stream", "spec/engine/corpus/text_stream_spec.lua" },
    ["bindings/bertlua/version.lua"] = { "what --version and doctor print", "spec/lua/prompt/command_spec.lua",
        "spec/lua/prompt/doctor_spec.lua" },

    -- Tables and lists of names.
    ["lua/bertlua/text/abbreviations.lua"] = { "a table", "spec/lua/text/sentences_spec.lua" },
    ["lua/bertlua/models/init.lua"] = { "a list of names", "spec/lua/init_spec.lua" },
    ["lua/bertlua/nn/init.lua"] = { "a list of names, and create()", "spec/lua/nn/module_spec.lua" },

    -- Modules of a few lines around one op: values, gradients and parameter names are specified with the model.
    ["lua/bertlua/nn/embeddings.lua"] = { "a part of BERT, against PyTorch", "spec/lua/models/bert_spec.lua" },
    ["lua/bertlua/nn/feed_forward.lua"] = { "a part of the encoder", "spec/lua/nn/encoder_spec.lua" },
    ["lua/bertlua/nn/layer_norm.lua"] = { "a part of BERT, against PyTorch", "spec/lua/models/bert_spec.lua" },
    ["lua/bertlua/nn/linear.lua"] = { "the example of a lone layer", "spec/lua/nn/module_spec.lua" },
    ["lua/bertlua/nn/pooler.lua"] = { "a part of BERT, against PyTorch", "spec/lua/models/bert_spec.lua" },
    ["lua/bertlua/nn/pretraining_heads.lua"] = { "a part of BERT, against PyTorch", "spec/lua/models/bert_spec.lua" },
    ["lua/bertlua/nn/self_attention.lua"] = { "a part of the encoder", "spec/lua/nn/encoder_spec.lua" },

    ["lua/bertlua/prompt/interruptible.lua"] = { "Ctrl-C in a loop", "spec/lua/prompt/init_spec.lua" },
    ["lua/bertlua/encoder/files.lua"] = { "what a folder holds", "spec/lua/encoder/init_spec.lua" },
    ["lua/bertlua/encoder/states.lua"] = { "against transformers", "spec/lua/encoder/init_spec.lua" },
    ["lua/bertlua/encoder/texts.lua"] = { "a text as a batch, against transformers", "spec/lua/encoder/init_spec.lua" },

    -- What runs only as part of something larger, or exists for specs.
    ["lua/bertlua/autograd/gradcheck.lua"] = { "the tool of that spec", "spec/lua/autograd/functional_spec.lua" },
    ["lua/bertlua/autograd/losses.lua"] = { "composed of those", "spec/lua/autograd/elementwise_spec.lua" },
    ["lua/bertlua/autograd/operand.lua"] = { "checks of arguments", "spec/lua/autograd/elementwise_spec.lua",
        "spec/lua/autograd/products_spec.lua", "spec/lua/autograd/shapes_spec.lua" },
    ["lua/bertlua/autograd/reductions.lua"] = { "as elementwise ops are", "spec/lua/autograd/elementwise_spec.lua" },
    ["lua/bertlua/corpus/sentences.lua"] = { "a stage around those of text", "spec/recipes/prepare_corpus_spec.lua" },
    ["lua/bertlua/squad/predict.lua"] = { "inference and a copy", "spec/recipes/finetune_squad_spec.lua" },
    ["lua/bertlua/squad/reader.lua"] = { "one question, from checkpoint to answer", "spec/recipes/answer_spec.lua" },
    ["lua/bertlua/train/distributed_lamb.lua"] = { "needs several ranks", "spec/recipes/many_processes_spec.lua" },
    ["lua/bertlua/train/graphs.lua"] = { "needs a device with graphs", "spec/cuda/training_spec.lua" },
    ["lua/bertlua/train/text_vectors.lua"] = { "what a folder says", "spec/recipes/finetune_embeddings_spec.lua" },
    ["lua/bertlua/util/chart/scale.lua"] = { "axes and ticks of both kinds of chart", "spec/lua/util/chart_spec.lua" },
    ["lua/bertlua/util/chart/svg.lua"] = { "one of the two kinds of chart", "spec/lua/util/chart_spec.lua" },
    ["lua/bertlua/util/chart/terminal.lua"] = { "one of the two kinds of chart", "spec/lua/util/chart_spec.lua" },
    ["lua/bertlua/weights/objects.lua"] = { "what a pickle of parameters names", "spec/lua/weights/formats_spec.lua" },
    ["lua/bertlua/weights/vocabulary.lua"] = { "what a model's folder asks of it", "spec/lua/weights/folder_spec.lua" },

    -- Jobs: run whole, through their recipes.
    ["lua/bertlua/jobs/classify/settings.lua"] = { "a table", "spec/recipes/finetune_classify_spec.lua" },
    ["lua/bertlua/jobs/classify/task.lua"] = { "the whole run", "spec/recipes/finetune_classify_spec.lua" },
    ["lua/bertlua/jobs/embeddings/choice.lua"] = { "a run's vectors", "spec/recipes/finetune_embeddings_spec.lua" },
    ["lua/bertlua/jobs/embeddings/settings.lua"] = { "a table", "spec/recipes/finetune_embeddings_spec.lua" },
    ["lua/bertlua/jobs/embeddings/task.lua"] = { "the whole run", "spec/recipes/finetune_embeddings_spec.lua" },
    ["lua/bertlua/jobs/tokens/settings.lua"] = { "a table", "spec/recipes/finetune_tokens_spec.lua" },
    ["lua/bertlua/jobs/tokens/task.lua"] = { "the whole run", "spec/recipes/finetune_tokens_spec.lua" },
    ["lua/bertlua/jobs/common/figures.lua"] = { "composed of metrics", "spec/recipes/predict_spec.lua",
        "spec/recipes/finetune_tokens_spec.lua" },
    ["lua/bertlua/jobs/mlm/held_out.lua"] = { "figures of a run", "spec/recipes/pretrain_continue_spec.lua" },
    ["lua/bertlua/jobs/mlm/settings.lua"] = { "a table", "spec/recipes/pretrain_continue_spec.lua" },
    ["lua/bertlua/jobs/mlm/task.lua"] = { "the whole run", "spec/recipes/pretrain_continue_spec.lua" },
    ["lua/bertlua/jobs/mlm/texts.lua"] = { "texts of a run", "spec/recipes/pretrain_continue_spec.lua" },
    ["lua/bertlua/jobs/common/masked_means.lua"] = { "means of held-out words",
        "spec/lua/jobs/pretrain/held_out_spec.lua", "spec/recipes/pretrain_continue_spec.lua" },
    ["lua/bertlua/jobs/common/devices.lua"] = { "what every recipe does first", "spec/recipes/device_spec.lua" },
    ["lua/bertlua/jobs/common/measuring.lua"] = { "a benchmark's figures", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/common/model_choice.lua"] = { "a recipe's model", "spec/recipes/own_model_spec.lua" },
    ["lua/bertlua/jobs/common/model_files.lua"] = { "what a run starts from", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/common/runner.lua"] = { "the whole run", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/common/texts.lua"] = { "what tasks of files share", "spec/recipes/finetune_classify_spec.lua" },
    ["lua/bertlua/jobs/corpus/prepare.lua"] = { "a table, and the pipeline", "spec/recipes/prepare_corpus_spec.lua" },
    ["lua/bertlua/jobs/corpus/tokenize.lua"] = { "the whole run", "spec/recipes/tokenize_spec.lua" },
    ["lua/bertlua/jobs/corpus/train_vocab.lua"] = { "the whole run", "spec/recipes/train_vocab_spec.lua" },
    ["lua/bertlua/jobs/demo/demo.lua"] = { "the whole run", "spec/recipes/demo_spec.lua" },
    ["lua/bertlua/jobs/embed/embed.lua"] = { "the whole run", "spec/recipes/embed_spec.lua" },
    ["lua/bertlua/jobs/embed/identity.lua"] = { "what runs are compared by", "spec/recipes/embed_spec.lua" },
    ["lua/bertlua/jobs/evaluate/evaluate.lua"] = { "the whole run", "spec/recipes/predict_spec.lua" },
    ["lua/bertlua/jobs/predict/predict.lua"] = { "the whole run", "spec/recipes/predict_spec.lua" },
    ["lua/bertlua/jobs/pretrain/evaluate.lua"] = { "the whole run", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/pretrain/fill_mask.lua"] = { "the whole run", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/pretrain/objectives.lua"] = { "a setting", "spec/recipes/own_model_spec.lua" },
    ["lua/bertlua/jobs/pretrain/task.lua"] = { "the whole run", "spec/recipes/pretrain_spec.lua" },
    ["lua/bertlua/jobs/repeats/init.lua"] = { "the whole of several runs", "spec/recipes/several_runs_spec.lua" },
    ["lua/bertlua/jobs/repeats/settings.lua"] = { "a table", "spec/recipes/several_runs_spec.lua" },
    ["lua/bertlua/jobs/serve/http.lua"] = { "sockets of a server", "spec/lua/jobs/serve/serve_spec.lua" },
    ["lua/bertlua/jobs/serve/stopping.lua"] = { "signals of a server", "spec/lua/jobs/serve/serve_spec.lua" },
    ["lua/bertlua/jobs/serve/waiting.lua"] = { "a server's loop and its queue", "spec/lua/jobs/serve/serve_spec.lua" },
    ["lua/bertlua/jobs/squad/ask.lua"] = { "the whole run", "spec/recipes/answer_spec.lua" },
    ["lua/bertlua/jobs/squad/data.lua"] = { "the whole run", "spec/recipes/finetune_squad_spec.lua" },
    ["lua/bertlua/jobs/squad/evaluate.lua"] = { "the whole run", "spec/recipes/evaluate_squad_spec.lua" },
    ["lua/bertlua/jobs/squad/prediction.lua"] = { "the whole run", "spec/recipes/finetune_squad_spec.lua" },
    ["lua/bertlua/jobs/squad/task.lua"] = { "the whole run", "spec/recipes/finetune_squad_spec.lua" },
}

-- Specs named after no module: path = reason. Keep them few.
local OTHERS = {
    ["spec/lua/text/hostile_texts_spec.lua"] = "every path of a text, in one program",
}

local function is_file(path)
    return lfs.attributes(path, "mode") == "file"
end

local function is_folder(path)
    return lfs.attributes(path, "mode") == "directory"
end

local function walk(dir, pattern, found)
    found = found or {}
    for name in lfs.dir(dir) do
        local path = dir .. "/" .. name
        if name ~= "." and name ~= ".." then
            if is_folder(path) then
                walk(path, pattern, found)
            elseif name:match(pattern) then
                found[#found + 1] = path
            end
        end
    end
    table.sort(found)
    return found
end

-- Source tree and the specs that mirror it.
local TREES = { { "lua/bertlua", "spec/lua" }, { "bindings/bertlua", "spec/bindings" } }

describe("specs", function()
    it("bear the names of modules", function()
        local strangers = {}
        for _, tree in ipairs(TREES) do
            for _, spec in ipairs(walk(tree[2], "%.lua$")) do
                local name = spec:sub(#tree[2] + 1):match "^(.*)_spec%.lua$"
                local known = name and (is_file(tree[1] .. name .. ".lua") or is_file(tree[1] .. name .. "/init.lua"))
                if not known and not OTHERS[spec] then strangers[#strangers + 1] = spec end
            end
        end
        assert.are.same({}, strangers)
    end)

    it("of the engine stand in the folders of its rooms", function()
        local strangers = {}
        for _, spec in ipairs(walk("spec/engine", "%.lua$")) do
            local room = spec:match "^spec/engine/([^/]+)/[^/]+_spec%.lua$"
            if not room or not is_folder("engine/" .. room) then strangers[#strangers + 1] = spec end
        end
        assert.are.same({}, strangers)
    end)

    it("exist for every module, or the list says which other one runs it", function()
        local missing = {}
        for _, tree in ipairs(TREES) do
            for _, module in ipairs(walk(tree[1], "%.lua$")) do
                local spec = tree[2] .. module:sub(#tree[1] + 1, -#".lua" - 1) .. "_spec.lua"
                if is_file(spec) then
                    assert.is_nil(COVERED[module], module .. " has a spec now: take it off the list")
                elseif not COVERED[module] then
                    missing[#missing + 1] = module
                end
            end
        end
        assert.are.same({}, missing)
    end)

    it("and modules of the list are there", function()
        for module, entry in pairs(COVERED) do
            assert.is_true(is_file(module), module .. " is gone: take it off the list")
            assert.is_true(#entry >= 2)
            for i = 2, #entry do
                assert.is_true(is_file(entry[i]), ("%s, which is to run %s, is gone"):format(entry[i], module))
            end
        end
    end)
end)
