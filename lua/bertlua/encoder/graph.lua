--- The Lua graph of a model that bl.load has opened: what the engine's encoder does not show (outputs of every layer,
-- attention), and the parameters of files that the engine does not read.

local BertModel = require("bertlua.models.bert").BertModel
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local BertForTokenClassification = require "bertlua.models.token_classification"
local ParameterStore = require "bertlua.nn.parameters"
local Tape = require "bertlua.autograd.tape"
local checkpoint = require "bertlua.train.checkpoint"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local weights = require "bertlua.train.weights"

local Graph = {}
Graph.__index = Graph

-- A model trained on masked words alone has neither pooler nor next sentences; nothing here asks for them.
local MAY_LACK = { "^bert%.pooler%.", "^cls%.seq_relationship%." }

--- The model for what a file holds, and names of parameters that it may lack.
local function build(found)
    local config, heads = found.config, found.heads
    if heads.answers then return BertForQuestionAnswering.new(config), {} end
    local classes = heads.labels or heads.tags
    if classes then
        if not config.labels or #config.labels ~= classes then
            config.labels = {}
            for i = 1, classes do config.labels[i] = "LABEL_" .. i - 1 end
        end
        return (heads.labels and BertForSequenceClassification or BertForTokenClassification).new(config), {}
    end
    if heads.mlm then return BertForPretraining.new(config), MAY_LACK end
    return BertModel.new(config, ParameterStore.new(), "bert", { pooler = heads.pooler }), {}
end

--- The graph for a file; its parameters are not read yet.
-- @param found of bertlua.encoder.files
-- @tparam table options precision, model_prefix: of bl.load
-- @tparam string path that bl.load was given
-- @return graph: fields model; size: number of the file's parameters; direct: whether the engine reads them itself. A
--   fault if the file holds another model's
function Graph.new(found, options, path)
    local model, may_lack = build(found)
    -- A path names the file itself where the folder has several.
    local self = setmetatable({ model = model, bert = model.bert or model, may_lack = may_lack, config = found.config,
        source = fs.is_directory(path) and found.folder or found.file, precision = options.precision or "fp32",
        model_prefix = options.model_prefix, direct = found.file:find "%.safetensors$" ~= nil
            or found.file:find "%.safetensors%.index%.json$" ~= nil }, Graph)
    self:match(found)
    return self
end

--- Compare the file's header with the model; nothing of the parameters is read.
function Graph:match(found)
    folder.check_config(found.folder, found.config)
    local wanted = {}
    for i, entry in ipairs(self.model.store.list) do
        wanted[i] = { name = entry.name, padded_dims = entry.rows and entry.dims, put = error,
            dims = entry.rows and { entry.rows, unpack(entry.dims, 2) } or entry.dims }
    end
    local file = weights.open(found.file)
    local plan = weights.match(file, wanted, found.file, { missing = self.may_lack, unexpected = checkpoint.is_head })
    file:close()
    self.size = self.model:size()
    for _, name in ipairs(plan.missing) do self.size = self.size - self.model.store:get(name).numel end
    for _, read in ipairs(plan.reads) do
        -- Rows that round the vocabulary up, and matrices of other programs that lie the other way round.
        if read.transposed or read.dims[1] ~= read.stored_dims[1] then self.direct = false end
    end
end

--- Read the parameters, once.
-- @return the graph: bert and tape are ready
function Graph:load()
    if self.tape then return self end
    self.model.store:allocate { precision = self.precision, training = false }
    checkpoint.load_pretrained(self.source, { store = self.model.store, config = self.config,
        missing = self.may_lack, model_prefix = self.model_prefix })
    self.tape = Tape.new()
    return self
end

--- The parameters in memory, for the engine: list of {name, tensor}, without the rows that round the vocabulary up.
function Graph:parameters()
    local list = {}
    for i, entry in ipairs(self:load().model.store.list) do
        local t = entry.compute
        list[i] = { name = entry.name, tensor = entry.rows and t:slice(1, 1, entry.rows) or t }
    end
    return list
end

--- Give the memory back.
function Graph:close()
    if not self.tape then return end
    self.tape:close()
    self.model.store:free()
    self.tape = nil
end

return Graph
