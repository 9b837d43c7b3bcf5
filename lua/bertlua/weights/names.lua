--- Maps the names of parameters in other programs' files to those used here (Hugging Face's BERT).
--
--   Hugging Face   with or without `bert.`; inside other modules, such as `module.` of parallel training, `_orig_mod.`
--                  of torch.compile and `base_model.model.` of PEFT, however nested; LayerNorm's gamma and beta
--   Paddle         encoder.layers.N.self_attn.q_proj ...; matrices are [in, out]
--   Paddle static  linear_0.w_0 ...: numbered in the order of construction; matrices are [in, out]
--   TensorFlow     bert/encoder/layer_N/attention/self/query/kernel ...; kernels are [in, out]
-- @module bertlua.weights.names

local fault = require "bertlua.fault"
local pickle = require "bertlua.weights.pickle"

local names = {}

-- Modules that programs put around a model, by the name under which they keep it; and those that they put around its
-- parts too.
local OUTER = { "module", "model", "base_model", "auto_model", "0" }
local WRAPPERS = { "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module" }

--- A tensor's name without the modules around the model.
local function unwrapped(name)
    for _, wrapper in ipairs(WRAPPERS) do
        name = ("." .. name):gsub("%." .. wrapper .. "%f[.]", ""):sub(2)
    end
    local before
    repeat
        before = name
        for _, outer in ipairs(OUTER) do
            if name:sub(1, #outer + 1) == outer .. "." then name = name:sub(#outer + 2) end
        end
    until name == before
    return name
end

--- Our name for a Hugging Face tensor.
-- @tparam string name
-- @tparam boolean bare whether the file contains a bare BERT, without the `bert.` prefix
function names.huggingface(name, bare)
    name = unwrapped(name):gsub("LayerNorm%.gamma$", "LayerNorm.weight")
        :gsub("LayerNorm%.beta$", "LayerNorm.bias")
    if bare and (name:find "^embeddings%." or name:find "^encoder%." or name:find "^pooler%.") then
        name = "bert." .. name
    end
    return name
end

-- Parts of a Paddle encoder layer, and whether their weight is a matrix.
local PADDLE_LAYER = {
    ["self_attn.q_proj"] = { "attention.self.query", true },
    ["self_attn.k_proj"] = { "attention.self.key", true },
    ["self_attn.v_proj"] = { "attention.self.value", true },
    ["self_attn.out_proj"] = { "attention.output.dense", true },
    linear1 = { "intermediate.dense", true },
    linear2 = { "output.dense", true },
    norm1 = { "attention.output.LayerNorm", false },
    norm2 = { "output.LayerNorm", false },
}
local PADDLE_REST = {
    ["bert.embeddings.layer_norm"] = { "bert.embeddings.LayerNorm", false },
    ["bert.pooler.dense"] = { "bert.pooler.dense", true },
    ["cls.predictions.transform"] = { "cls.predictions.transform.dense", true },
    ["cls.predictions.layer_norm"] = { "cls.predictions.transform.LayerNorm", false },
    ["cls.seq_relationship"] = { "cls.seq_relationship", true },
    classifier = { "classifier", true },
}

--- Our name of a tensor of Paddle's, and whether it is transposed.
-- @param head what its `classifier` is called here ("classifier"): Paddle has this name for the heads of all tasks
function names.paddle(name, bare, head)
    if bare and (name:find "^embeddings%." or name:find "^encoder%." or name:find "^pooler%.") then
        name = "bert." .. name
    end
    if name == "cls.predictions.decoder_weight" then return "cls.predictions.decoder.weight", false end
    if name == "cls.predictions.decoder_bias" then return "cls.predictions.bias", false end
    local stem, field = name:match "^(.*)%.(%a+)$"
    local number, part = (stem or ""):match "^bert%.encoder%.layers%.(%d+)%.(.*)$"
    local known = number and PADDLE_LAYER[part] or PADDLE_REST[stem or ""]
    if not known then return name, false end
    local ours = number and ("bert.encoder.layer.%s.%s"):format(number, known[1])
        or stem == "classifier" and head or known[1]
    return ours .. "." .. field, known[2] and field == "weight"
end

local TABLES = { "word_embeddings", "position_embeddings", "token_type_embeddings" }
local LINEARS = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "linear1",
    "linear2" }

--- Paddle's structured names for those of the static graph, which number modules in order of creation: three embeddings
-- and their LayerNorm; for each layer six linears and two LayerNorms; pooler; then the heads.
local function static_names(file)
    local list, linears, norms = file:names(), 0, 0
    for _, name in ipairs(list) do
        if name:find "^linear_%d+%.w_0$" then linears = linears + 1 end
        if name:find "^layer_norm_%d+%.w_0$" then norms = norms + 1 end
    end
    local layers = math.floor((norms - 1) / 2)
    local pretraining = norms % 2 == 0
    local heads = linears - 6 * layers - 1
    if pretraining and heads ~= 2 or not pretraining and heads ~= 0 and heads ~= 1 then
        fault.raisef("%s: %d linears and %d LayerNorms are not those of a BERT with separate query, key and value",
            file.path, linears, norms)
    end
    local stems = { layer_norm_0 = "bert.embeddings.layer_norm" }
    for i, name in ipairs(TABLES) do stems["embedding_" .. i - 1] = "bert.embeddings." .. name end
    for layer = 0, layers - 1 do
        local stem = ("bert.encoder.layers.%d."):format(layer)
        for i, part in ipairs(LINEARS) do stems["linear_" .. 6 * layer + i - 1] = stem .. part end
        stems["layer_norm_" .. 2 * layer + 1] = stem .. "norm1"
        stems["layer_norm_" .. 2 * layer + 2] = stem .. "norm2"
    end
    stems["linear_" .. 6 * layers] = "bert.pooler.dense"
    if pretraining then
        stems["linear_" .. 6 * layers + 1] = "cls.predictions.transform"
        stems["layer_norm_" .. 2 * layers + 1] = "cls.predictions.layer_norm"
        stems["linear_" .. 6 * layers + 2] = "cls.seq_relationship"
    else
        stems["linear_" .. 6 * layers + 1] = "classifier"
    end
    local map = {}
    for _, name in ipairs(list) do
        local stem, field = name:match "^(.*)%.([wb])_0$"
        if stem and stems[stem] then
            map[name] = stems[stem] .. (field == "w" and ".weight" or ".bias")
        elseif field == "b" and not stem:find "^linear_" and not stem:find "^layer_norm_" then
            -- The bias of the word scores does not belong to a module: it is named after the head's class.
            map[name] = "cls.predictions.decoder_bias"
        end
    end
    return map
end

--- Our name for a TensorFlow variable, and whether it is transposed; nil for the optimizer's.
function names.tensorflow(name)
    if name:find "adam_[mv]$" or name:find "^global_step" or name:find "LAMB" then return nil end
    local ours = name:gsub("^cls/squad/output_weights$", "qa_outputs/weight")
        :gsub("^cls/squad/output_bias$", "qa_outputs/bias")
        :gsub("^output_weights$", "classifier/weight"):gsub("^output_bias$", "classifier/bias")
        :gsub("/layer_(%d+)/", "/layer/%1/")
        :gsub("_embeddings$", "_embeddings/weight"):gsub("/gamma$", "/weight"):gsub("/beta$", "/bias")
        :gsub("/output_weights$", "/weight"):gsub("/output_bias$", "/bias"):gsub("/kernel$", "/weight")
        :gsub("/", ".")
    return ours, name:find "/kernel$" ~= nil
end

--- Which program's names a file uses: "huggingface", "paddle", "static" or "tensorflow".
local function dialect_of(list)
    for _, name in ipairs(list) do
        if name:find "self_attn%.[qkv]_proj%." then return "paddle" end
        if name:find "^embedding_0%.w_0$" then return "static" end
        if name:find "^bert/" then return "tensorflow" end
    end
    return "huggingface"
end

--- Whether bertlua wrote a file: then its names are ours, whatever a recipe's own model calls its parameters.
local function is_ours(file)
    local metadata = file.metadata and file:metadata()
    return metadata and (metadata.optimizer or metadata.writer and metadata.writer:find "^bertlua ") ~= nil
end

--- Names of Hugging Face's for what is the same tensor, by ours.
names.TIED = {
    ["bert.embeddings.word_embeddings.weight"] = "cls.predictions.decoder.weight",
    ["cls.predictions.bias"] = "cls.predictions.decoder.bias",
}

--- All tensors of a file under our names.
-- @param file an open file (bertlua.weights.formats)
-- @tparam[opt] string head name of the head of the model that reads the file, for a program with one name for all
--   heads ("classifier")
-- @return table by our name: {name = in the file, transposed = boolean}
function names.index(file, head)
    local list = file:names()
    if is_ours(file) then
        local map = {}
        for _, name in ipairs(list) do map[name] = { name = name, transposed = false } end
        return map
    end
    local dialect = dialect_of(list)
    local static = dialect == "static" and static_names(file)
    local bare = true
    for _, name in ipairs(list) do
        if unwrapped(name):find "^bert%." then bare = false end
    end
    local map = {}
    for _, name in ipairs(list) do
        local ours, transposed
        if static then
            ours, transposed = names.paddle(static[name] or name, false, head)
        elseif dialect == "paddle" then
            ours, transposed = names.paddle(name, bare, head)
        elseif dialect == "tensorflow" then
            ours, transposed = names.tensorflow(name)
        else
            ours = names.huggingface(name, bare)
        end
        if ours and map[ours] then
            fault.raisef("%s: %s and %s are the same parameter; remove one of them", file.path,
                pickle.printable(map[ours].name), pickle.printable(name))
        end
        if ours then map[ours] = { name = name, transposed = transposed == true } end
    end
    -- Of tensors that are one, a program may have left out either.
    for kept, twin in pairs(names.TIED) do map[kept] = map[kept] or map[twin] end
    return map
end

return names
