--- Folders of sentence-transformers: how a model makes one vector of a text, beside the encoder's own files.
--
--     modules.json                        the encoder, 1_Pooling, and 2_Normalize where vectors get length 1
--     1_Pooling/config.json               which rows a vector is made of
--     sentence_bert_config.json           max_seq_length
--     config_sentence_transformers.json   how vectors are compared
--
-- Read in the form of every version from 2 to 6; written in the form of version 2, which all of them open.
-- @module bertlua.weights.sentence_transformers

local fault = require "bertlua.fault"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local inside = require "bertlua.util.inside"
local json = require "bertlua.util.json"
local printable = require "bertlua.printable"

local M = {}

--- Ways of pooling that are computed here, by the setting, as 1_Pooling/config.json of older versions calls them.
local FIELDS = { mean = "pooling_mode_mean_tokens", cls = "pooling_mode_cls_token" }

M.POOLINGS = { "mean", "cls" }

local PREFIX = "sentence_transformers.models."

--- The modes that a 1_Pooling/config.json turns on, sorted.
local function modes_of(config)
    local list = {}
    if config.pooling_mode ~= nil then
        local given = config.pooling_mode
        for _, mode in ipairs(type(given) == "table" and given or { given }) do list[#list + 1] = tostring(mode) end
    else
        for name, value in pairs(config) do
            local mode = value == true and tostring(name):match "^pooling_mode_(.*)$"
            for ours, field in pairs(FIELDS) do mode = field == name and value == true and ours or mode end
            list[#list + 1] = mode or nil
        end
    end
    table.sort(list)
    return list
end

--- The way of pooling; or nil and why it is not computed here.
local function pooling_of(path)
    local config, file = folder.read_json(path, "config.json")
    if not config then return nil, file .. " is missing" end
    local modes = modes_of(config)
    if #modes == 1 and FIELDS[modes[1]] then return modes[1] end
    return nil, ("%s: pooling %s is not implemented, only mean or cls"):format(file,
        #modes == 0 and "of no kind" or printable.text(table.concat(modes, " with ")))
end

--- What a prompt before every text would be; nil if there is none.
local function prompt_of(config)
    local name = config.default_prompt_name
    if type(name) ~= "string" then return nil end
    local prompt = type(config.prompts) == "table" and config.prompts[name]
    return type(prompt) == "string" and prompt ~= "" and prompt or nil
end

--- Most tokens of a text, by a field of a file; nil where it has none.
local function length_of(value, file)
    if value == nil or value == json.null then return nil end
    -- Room for [CLS], a token and [SEP].
    if type(value) ~= "number" or value < 3 then
        fault.raisef("%s: the maximum length is %s, expected a number of at least 3", file,
            printable.text(tostring(value)))
    end
    return math.floor(value)
end

--- Look at a folder.
-- @param path folder of the encoder's files
-- @treturn table {pooling; normalize; max_length: most tokens of a text, or nil; similarity: "cosine", ...; problem:
--   why its vectors cannot be computed here, or nil}; nil if sentence-transformers did not write the folder. A fault
--   if its files are damaged
function M.read(path)
    if not fs.is_directory(path) then return nil end
    local modules, file = folder.read_json(path, "modules.json")
    if not modules then return nil end
    local found = { normalize = false }
    for i, module in ipairs(modules) do
        if type(module) ~= "table" or type(module.type) ~= "string" or type(module.path) ~= "string" then
            fault.raisef("%s: module %d has no type or no path", file, i)
        end
        local kind = module.type:match "[^.]*$"
        if kind == "Pooling" then
            local problem
            if not inside.is_name(module.path) then
                fault.raisef("%s: the path of module %d names no folder beside it", file, i)
            end
            found.pooling, problem = pooling_of(fs.join(path, module.path))
            found.problem = found.problem or problem
        elseif kind == "Normalize" then
            found.normalize = true
        elseif kind ~= "Transformer" then
            found.problem = found.problem or ("%s: module %s is not implemented"):format(file,
                printable.text(module.type))
        end
    end
    if not found.pooling and not found.problem then
        found.problem = file .. ": it has no Pooling: one vector of a text is not defined"
    end
    local encoder, encoder_file = folder.read_json(path, "sentence_bert_config.json")
    local tokenizer, tokenizer_file = folder.read_json(path, "tokenizer_config.json")
    encoder, tokenizer = encoder or {}, tokenizer or {}
    found.max_length = length_of(encoder.max_seq_length, encoder_file)
        or length_of(tokenizer.model_max_length, tokenizer_file)
    local whole = folder.read_json(path, "config_sentence_transformers.json") or {}
    found.similarity = type(whole.similarity_fn_name) == "string" and whole.similarity_fn_name or "cosine"
    local prompt = prompt_of(whole)
    if prompt then
        found.problem = found.problem or ("%s puts %q before every text, which is not implemented"):format(
            fs.join(path, "config_sentence_transformers.json"), printable.text(prompt))
    end
    if encoder.do_lower_case == true and tokenizer.do_lower_case == false then
        found.problem = found.problem or ("%s lower-cases the texts of a cased vocabulary, which is not implemented")
            :format(fs.join(path, "sentence_bert_config.json"))
    end
    return found
end

local function write_json(path, value, order)
    fault.check(fs.write(path, json.encode(value, { order = order, pretty = true }) .. "\n"))
end

--- Add these files to a folder of an encoder.
-- @param path folder
-- @tparam table of pooling ("mean" or "cls"), normalize, max_length, hidden: numbers of a vector
function M.write(path, of)
    local list = { { idx = 0, name = "0", path = "", type = PREFIX .. "Transformer" },
        { idx = 1, name = "1", path = "1_Pooling", type = PREFIX .. "Pooling" } }
    fault.check(fs.mkdirs(fs.join(path, "1_Pooling")))
    if of.normalize then
        list[3] = { idx = 2, name = "2", path = "2_Normalize", type = PREFIX .. "Normalize" }
        fault.check(fs.mkdirs(fs.join(path, "2_Normalize")))
    end
    local pooling = { word_embedding_dimension = of.hidden, pooling_mode_max_tokens = false,
        pooling_mode_mean_sqrt_len_tokens = false }
    for mode, field in pairs(FIELDS) do pooling[field] = mode == of.pooling end
    write_json(fs.join(path, "1_Pooling/config.json"), pooling, { "word_embedding_dimension" })
    write_json(fs.join(path, "sentence_bert_config.json"), { max_seq_length = of.max_length, do_lower_case = false },
        { "max_seq_length", "do_lower_case" })
    write_json(fs.join(path, "config_sentence_transformers.json"), { similarity_fn_name = "cosine" })
    -- The last: without it the others mean nothing.
    write_json(fs.join(path, "modules.json"), list, { "idx", "name", "path", "type" })
end

--- Copy these files beside an encoder that was converted, with whatever the modules' folders hold.
-- @param from folder that read() knows
-- @param to folder of the converted encoder
-- @tparam table found what read() returned of it
function M.copy(from, to, found)
    for _, module in ipairs(assert(folder.read_json(from, "modules.json"))) do
        local home = inside.is_name(module.path) and fs.join(from, module.path)
        if home and module.type:match "[^.]*$" ~= "Transformer" then
            fault.check(fs.mkdirs(fs.join(to, module.path)))
            for _, name in ipairs(fs.is_directory(home) and fault.check(fs.list(home)) or {}) do
                local path = fs.join(home, name)
                if fs.is_file(path) then fault.check(fs.copy(path, fs.join(to, module.path, name))) end
            end
        end
    end
    for _, name in ipairs { "sentence_bert_config.json", "config_sentence_transformers.json", "modules.json" } do
        local path = fs.join(from, name)
        if fs.is_file(path) then fault.check(fs.copy(path, fs.join(to, name))) end
    end
    -- It may have stood in the tokenizer's files, which are not copied. transformers writes 1e30 where there is none.
    local length = found.max_length
    if length and length < 2 ^ 31 and M.read(to).max_length ~= length then
        local config = folder.read_json(to, "sentence_bert_config.json") or {}
        config.max_seq_length = length
        write_json(fs.join(to, "sentence_bert_config.json"), config, { "max_seq_length" })
    end
end

return M
