--- Jobs: convert our checkpoint to a Hugging Face folder, and any model's parameters to our checkpoint.
-- Parameters are kept bit by bit, except that 16-bit floats become f32. How the model
-- makes vectors of texts goes along.

local BertConfig = require "bertlua.models.bert_config"
local BertModel = require("bertlua.models.bert").BertModel
local ParameterStore = require "bertlua.nn.parameters"
local checkpoint = require "bertlua.train.checkpoint"
local checksums = require "bertlua.weights.checksums"
local checkpoint_model = require "bertlua.jobs.pretrain.checkpoint_model"
local context = require "bertlua.context"
local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local memory = require "bertlua.memory"
local names = require "bertlua.weights.names"
local new_folder = require "bertlua.util.new_folder"
local paths = require "bertlua.paths"
local first_of = require("bertlua.util.listed").first
local plural = require "bertlua.util.plural"
local printable = require "bertlua.printable"
local settings = require "bertlua.settings"
local term = require "bertlua.util.term"
local text_vectors = require "bertlua.train.text_vectors"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local M = {}

local COMMON = {
    { name = "vocab_file", type = "path", find = paths.vocabulary,
        help = "unset: vocab.txt or tokenizer.json of the model" },
    { name = "do_lower_case", type = "boolean",
        help = "casing of the text the model was trained on; unset: as the model records, else by the vocabulary" },
    { name = "model_prefix", type = "string", default = "model", help = "reads MODEL_PREFIX.safetensors" },
}

local function define(list)
    for _, setting in ipairs(COMMON) do list[#list + 1] = setting end
    return settings.define(list)
end

M.to_settings = define {
    { name = "checkpoint", type = "path", required = true, help = "checkpoint folder, or the folder of its steps" },
    { name = "output_dir", type = "path", required = true, help = "folder to write; must be empty or not exist" },
}

M.from_settings = define {
    { name = "input", type = "path", required = true,
        help = "Hugging Face folder, or a .safetensors, .bin, .pt, .pdparams or .npz file" },
    { name = "output_dir", type = "path", required = true, help = "folder to write; must be empty or not exist" },
    { name = "config_file", type = "path", help = "unset: config.json next to the parameters" },
}

-- transformers' classes by the parameters that only they have. A `classifier` stands on top of several kinds of model:
-- which one, and what its labels are called, config.json says.
local ARCHITECTURES = { { "^cls%.seq_relationship%.", "BertForPreTraining" }, { "^cls%.", "BertForMaskedLM" },
    { "^qa_outputs%.", "BertForQuestionAnswering" },
    { "^classifier%.", "BertForSequenceClassification", labeled = true } }

--- Class of a model by its parameters; one with a head that we do not know keeps the class that it had.
-- @return class, whether its config names labels
local function architecture_of(list, class)
    for _, entry in ipairs(ARCHITECTURES) do
        for _, item in ipairs(list) do
            if item.name:find(entry[1]) then return entry.labeled and class or entry[2], entry.labeled end
        end
    end
    return class or "BertModel", false
end

--- What a head that is only named "classifier", as all of Paddle's are, is called here.
local function head_of(class)
    return (class or ""):find "Classification" and "classifier" or "qa_outputs"
end

local function need_empty(path)
    local ok, reason = new_folder.check(path)
    if not ok then fault.raisef("--output-dir %s %s: choose another", path, reason) end
end

-- Heads that models of bertlua have.
local KNOWN_HEADS = { "^bert%.pooler%.dense%.[wb]", "^cls%.predictions%.", "^cls%.seq_relationship%.", "^qa_outputs%.",
    "^classifier%." }

local function is_known_head(name)
    for _, pattern in ipairs(KNOWN_HEADS) do
        if name:find(pattern) then return true end
    end
    return false
end

--- The encoder's parameters of a configuration: {list = of {name, dims}, known = by name}. No memory is taken for them.
local function encoder_of(config)
    local store, encoder = ParameterStore.new(), { list = {}, known = {}, vocab_size = config.vocab_size }
    BertModel.new(config, store, "bert", { pooler = false })
    for i, entry in ipairs(store.list) do
        local dims = { unpack(entry.dims) }
        -- Without the rows that round the vocabulary up.
        dims[1] = entry.rows or dims[1]
        encoder.list[i] = { name = entry.name, dims = dims }
        encoder.known[entry.name] = encoder.list[i]
    end
    return encoder
end

local function listed(list)
    return first_of(list, 4)
end

--- Which tensors of a file become which parameters: the encoder whole, and whatever heads there are. What belongs to
-- neither is kept under its name, or left out, and told.
-- @return list of {name, dims}, in the order of their names
local function choose(file, map, encoder, file_path)
    local wanted, foreign, dropped, alien = {}, {}, {}, {}
    for _, item in ipairs(encoder.list) do wanted[#wanted + 1] = { name = item.name, dims = item.dims } end
    for name, from in pairs(map) do
        local info = file:info(from.name)
        local settled = weights.is_redundant(name) or encoder.known[name]
        if not settled and (name:find "^bert%.embeddings%." or name:find "^bert%.encoder%.") then
            alien[#alien + 1] = printable.text(name)
        elseif not settled and (is_known_head(name) or weights.is_float(info.dtype)) then
            local dims = {}
            for i, d in ipairs(info.dims) do dims[from.transposed and #info.dims + 1 - i or i] = d end
            if name == "cls.predictions.bias" then dims = { encoder.vocab_size } end
            wanted[#wanted + 1] = { name = name, dims = dims }
            if not is_known_head(name) then foreign[#foreign + 1] = printable.text(name) end
        elseif not settled then
            dropped[#dropped + 1] = ("%s (%s)"):format(printable.text(name), printable.text(info.dtype))
        end
    end
    for _, list in ipairs { foreign, dropped, alien } do table.sort(list) end
    if #alien > 0 then
        fault.raisef("%s: holds %s that BERT's encoder has not (%s): the network is another one", file_path,
            plural.count(#alien, "tensor"), listed(alien))
    end
    if #foreign > 0 then
        term.warn(("%s: %s of no head that bertlua has, kept under %s: %s"):format(file_path,
            plural.count(#foreign, "tensor"), #foreign == 1 and "its name" or "their names", listed(foreign)))
    end
    if #dropped > 0 then
        term.warn(("%s: left out, since they are no floats: %s"):format(file_path, listed(dropped)))
    end
    table.sort(wanted, function(x, y) return x.name < y.name end)
    return wanted
end

--- All parameters of a file as a store that can be saved: {list = {{name, dims, value}}}.
local function read_all(home, file_path, config)
    local file = weights.open(file_path)
    local buffers, class = {}, heads.class_of(folder.read_json(home, "config.json"))
    local head = head_of(class)
    local wanted = choose(file, names.index(file, head), encoder_of(config), file_path)
    -- Before memory is taken for any of them.
    weights.match(file, wanted, file_path, { unexpected = { "" }, head = head })
    for _, item in ipairs(wanted) do
        local numel = 1
        for _, d in ipairs(item.dims) do numel = numel * d end
        local buffer = memory.buffer(math.max(numel, 1) * 4)
        buffers[#buffers + 1] = buffer
        item.tensor = buffer:tensor(0, "f32", item.dims)
    end
    weights.read(file, weights.match(file, wanted, file_path, { unexpected = { "" }, head = head }))
    file:close()
    for _, item in ipairs(wanted) do item.value = item.tensor end
    local architecture, labeled = architecture_of(wanted, class)
    return { list = wanted, buffers = buffers, architecture = architecture, labeled = labeled }
end

local function release(store)
    for _, buffer in ipairs(store.buffers) do buffer:free() end
end

--- Vocabulary and casing that go with a model.
local function words_of(values, home, progress)
    local vocab_file = values.vocab_file
    paths.check_vocabulary(vocab_file)
    vocab_file = vocab_file or vocabulary.beside(home)
    local lower = values.do_lower_case
    if lower == nil then lower = folder.casing(home, progress) end
    if lower == nil and vocab_file then lower = vocabulary.casing(vocab_file) end
    return vocab_file, lower
end

local function config_of(values, home)
    local file = values.config_file or fs.join(home, "config.json")
    if not fs.is_file(file) then
        fault.raisef("%s: no such file: name the model's configuration with --config-file", file)
    end
    return BertConfig.load(file)
end

--- Read a model, check the files next to it, hand it to write(folder, parts), free the memory.
local function convert(values, home, file_path, progress, write)
    context.open { device = "cpu" }
    need_empty(values.output_dir)
    local config = config_of(values, home)
    local vectors = text_vectors.of(home) or {}
    if vectors.problem then
        term.warn(vectors.problem .. "; the files that say so are copied, and the result has the same vectors only "
            .. "for programs that implement it")
    end
    local vocab_file, lower = words_of(values, home, progress)
    folder.check_vocabulary(home, { vocab_file = vocab_file, do_lower_case = values.do_lower_case, config = config },
        progress)
    local store = read_all(home, file_path, config)
    local most = math.min(vectors.max_length or math.huge, config.max_position_embeddings)
    new_folder.write(values.output_dir, "config.json", function(path)
        write(path, { store = store, config = config, vocab_file = vocab_file, do_lower_case = lower,
            max_length = most })
        text_vectors.carry(home, path, config.hidden_size)
    end)
    io.stdout:write(("%s: %s from %s\n"):format(values.output_dir, plural.count(#store.list, "tensor"),
        printable.text(file_path)))
    if not vocab_file then io.stdout:write("no vocab.txt or tokenizer.json: give one with --vocab-file\n") end
    release(store)
end

--- Write a folder that transformers opens.
function M.to_huggingface(values)
    local home = checkpoint_model.folder(values.checkpoint)
    if fs.is_file(fs.join(home, "progress.json")) then
        local ok, reason = checkpoint.verify(home)
        if not ok then fault.raisef("%s: %s: use an older checkpoint", home, reason) end
    end
    local file_path = fs.join(home, values.model_prefix .. ".safetensors")
    if not fs.is_file(file_path) then fault.raisef("%s: no such file: not a checkpoint", file_path) end
    convert(values, home, file_path, checkpoint.progress(home), checkpoint.export)
end

--- Write a checkpoint (of step 0, without optimizer) from another program's parameters.
function M.from_huggingface(values)
    local home, file_path, reason = folder.find(values.input, values.model_prefix)
    if not home then fault.raisef("--input %s", reason) end
    for _, text in ipairs(fault.check(checksums.check(home))) do term.warn(text) end
    convert(values, home, file_path, checkpoint.progress(home), function(path, parts)
        parts.progress = { do_lower_case = parts.do_lower_case }
        checkpoint.write(path, 0, parts)
    end)
end

return M
