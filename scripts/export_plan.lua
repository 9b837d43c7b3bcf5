--- Write engine/encoder/plan_table.c: the graph of BERT as the C encoder runs it, recorded from the model in Lua.
--
--     bertlua scripts/export_plan.lua engine/encoder/plan_table.c
--
-- Small models, all of whose sizes differ, run their inference once on ops and an arena that write down what they are
-- asked for. Each tensor then is a parameter (by name), a tensor of the batch or an activation, each size a symbol.
-- What does not fit engine/encoder/plan.h is an error here: an op that is not known, a setting that is not the
-- configuration's, layers that are not alike.

local memory = require "bertlua.memory"
local real = require "bertlua.ops"

-- ---------------------------------------------------------------- recording

-- What happened, in order: {kind = "take", "give" or the name of an op, ...}; nil while nothing is recorded.
local events

local function note(event)
    if events then events[#events + 1] = event end
end

-- Stands in for bertlua.ops in the modules that are loaded from here on.
package.loaded["bertlua.ops"] = setmetatable({}, {
    __index = function(recorder, name)
        local op = real[name]
        if type(op) ~= "function" then return op end
        local function recorded(...)
            note { kind = name, count = select("#", ...), ... }
            return op(...)
        end
        rawset(recorder, name, recorded)
        return recorded
    end,
})

local BertConfig = require "bertlua.models.bert_config"
local BertForPretraining = require("bertlua.models.bert").BertForPretraining
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local BertForSequenceClassification = require "bertlua.models.sequence_classification"
local BertForTokenClassification = require "bertlua.models.token_classification"
local BertModel = require("bertlua.models.bert").BertModel
local ParameterStore = require "bertlua.nn.parameters"
local SentenceEmbedding = require "bertlua.models.sentence_embedding"
local Tape = require "bertlua.autograd.tape"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local tensor = require "bertlua.tensor"

if rawget(package.loaded["bertlua.ops"], "fill") then error "export_plan: the model was loaded before its ops" end

local Arena = {}
Arena.__index = Arena

function Arena:tensor(dtype, dims)
    local t = self.arena:tensor(dtype, dims)
    note { kind = "take", tensor = t }
    return t
end

function Arena:release(t)
    note { kind = "give", tensor = t }
    self.arena:release(t)
end

function Arena:reset() self.arena:reset() end

-- ---------------------------------------------------------------- models

-- Every size is another, so that a number says which size it is.
local TOKENS, SEQUENCES, PLACES, LONGEST, LABELS = 19, 3, 7, 11, 5
local CONFIG = {
    vocab_size = 40, hidden_size = 24, num_hidden_layers = 2, num_attention_heads = 6, intermediate_size = 44,
    max_position_embeddings = 30, type_vocab_size = 4, layer_norm_eps = 1e-5,
}
local SIZES = {
    [TOKENS] = "TOKENS", [SEQUENCES] = "SEQUENCES", [PLACES] = "PLACES", [LABELS] = "LABELS", [2] = "2",
    [CONFIG.hidden_size] = "HIDDEN", [3 * CONFIG.hidden_size] = "HIDDEN_3",
    [CONFIG.intermediate_size] = "INTERMEDIATE", [CONFIG.vocab_size] = "VOCABULARY",
    [CONFIG.max_position_embeddings] = "POSITIONS", [CONFIG.type_vocab_size] = "TYPES",
}

local function config()
    local made = BertConfig.new(CONFIG)
    made.labels = {}
    for i = 1, LABELS do made.labels[i] = "LABEL_" .. i - 1 end
    return made
end

local function logits(model, tape, batch) return model:logits(tape, batch) end

-- Of each head of the C encoder: its name there, the model, and what runs it.
local HEADS = {
    { "HIDDEN", BertModel.new(config(), ParameterStore.new(), "bert", { pooler = false }),
        function(model, tape, batch) return model:forward(tape, batch) end },
    { "MEAN", SentenceEmbedding.new(config(), { pooling = "mean" }), logits },
    { "CLS", SentenceEmbedding.new(config(), { pooling = "cls" }), logits },
    { "LABELS", BertForSequenceClassification.new(config()), logits },
    { "TAGS", BertForTokenClassification.new(config()), logits },
    { "SPANS", BertForQuestionAnswering.new(config()), logits },
    { "WORDS", BertForPretraining.new(config(), nil, { next_sentence = false }),
        function(model, tape, batch) return model:logits(tape, batch).mlm end },
}

local function numbers(count, of)
    local list = {}
    for i = 1, count do list[i] = of(i - 1) end
    return tensor.from(list, "i32")
end

local BATCH = {
    batch_size = SEQUENCES, max_length = LONGEST, rows = TOKENS,
    ids = numbers(TOKENS, function(i) return i end),
    positions = numbers(TOKENS, function(i) return i % LONGEST end),
    types = numbers(TOKENS, function() return 0 end),
    segments = tensor.from({ { 0, 11 }, { 11, 5 }, { 16, 3 } }, "i32"),
    cls_index = numbers(SEQUENCES, function(i) return i end),
    masked_index = numbers(PLACES, function(i) return i end),
}
local INPUTS = { "ids", "positions", "types", "segments", "cls_index", "masked_index" }

-- ---------------------------------------------------------------- names of tensors

local function key(t)
    return tostring(t:data_ptr "char")
end

local function dims_text(t)
    return "[" .. table.concat(t:dims(), ",") .. "]"
end

local function size_of(number, what)
    return SIZES[number] or error(("export_plan: %s has a size of %d, which is no size of the model"):format(what,
        number))
end

--- Pattern of a parameter's name, and the number of its layer or nil.
local function pattern_of(name)
    local pattern, layer = name:gsub("%.layer%.%d+%.", ".layer.#."), tonumber(name:match "%.layer%.(%d+)%.")
    return pattern, layer
end

-- Parameters of all models: by key (of their first name) and in order.
local parameters, ordered = {}, {}

--- The constant that the C table calls a parameter.
local function constant_of(patterns)
    local first = patterns[1]:gsub("^bert%.", ""):gsub("^encoder%.layer%.#", "layer")
    local stem, field = first:match "^(.*)%.([^.]*)$"
    for i = 2, #patterns do stem = stem .. "_" .. patterns[i]:match "([^.]*)%.[^.]*$" end
    return ((stem .. "_" .. field):gsub("[^%w]", "_"):upper())
end

local function register(names, dims, low)
    local patterns, layer = {}, nil
    for i, name in ipairs(names) do patterns[i], layer = pattern_of(name) end
    local id = table.concat(patterns, "+")
    local entry = parameters[id]
    if not entry then
        entry = { patterns = patterns, dims = dims, low = low, layered = layer ~= nil,
            constant = constant_of(patterns), number = #ordered }
        parameters[id], ordered[#ordered + 1] = entry, entry
    end
    return { entry = entry, layer = layer }
end

--- The tensors of a store's parameters: key .. dims -> function that registers it. A joint one begins where its first
-- part does.
local function places_of(store)
    local places = {}
    local function add(entry, names, dims, tensors)
        for _, t in ipairs(tensors) do
            places[key(t) .. dims_text(t)] = function() return register(names, dims, entry.low) end
        end
    end
    for _, group in ipairs(store.groups) do
        for _, entry in ipairs(group) do add(entry, { entry.name }, entry.dims, { entry.compute, entry.value }) end
        if group.joint then
            local names = {}
            for i, entry in ipairs(group) do names[i] = entry.name end
            add(group.joint, names, group[1].dims, { group.joint.compute, group.joint.value })
        end
    end
    return places
end

-- ---------------------------------------------------------------- from events to steps

-- Arguments of each op: "out", "in", "-" (must be nil), or the name of a setting that has to be the configuration's.
local OPS = {
    embedding_forward = { "EMBEDDING",
        { "out", "-", "-", "in", "in", "in", "in", "in", "in", "in", "in", "eps", "-" } },
    linear_forward = { "LINEAR", { "out", "-", "in", "in", "in", "activation" } },
    attention_forward = { "ATTENTION", { "out", "-", "-", "in", "in", "heads", "max_length", "scale", "-" } },
    layernorm_forward = { "LAYERNORM", { "out", "-", "-", "-", "in", "in", "in", "in", "eps", "-" } },
    gather_forward = { "GATHER", { "out", "in", "in" } },
    segment_mean_forward = { "SEGMENT_MEAN", { "out", "in", "in" } },
}
local SETTINGS = {
    eps = CONFIG.layer_norm_eps, heads = CONFIG.num_attention_heads, max_length = LONGEST,
    scale = 1 / math.sqrt(CONFIG.hidden_size / CONFIG.num_attention_heads),
}
local ACTIVATIONS = { none = "BL_LINEAR", gelu = "BL_GELU", tanh = "BL_TANH" }

--- A tensor as an operand: {input=}, {parameter=, layer=} or {activation = number of the live one}.
local function operand_of(t, live, places, op)
    for _, name in ipairs(INPUTS) do
        if key(t) == key(BATCH[name]) then return { input = name } end
    end
    local number = live[key(t) .. dims_text(t)]
    if number then return { activation = number } end
    local parameter = places[key(t) .. dims_text(t)]
    if not parameter then
        error(("export_plan: %s reads %s, which is no parameter, no tensor of the batch and no activation"):format(op,
            dims_text(t)))
    end
    local found = parameter()
    return { parameter = found.entry, layer = found.layer }
end

local function step_of(event, live, places)
    local known = OPS[event.kind] or error(("export_plan: the model calls ops.%s, which the C encoder does not know: "
        .. "add it to engine/encoder/plan.h, plan.c and to OPS in this script"):format(event.kind))
    local step = { op = known[1], inputs = {} }
    for i, role in ipairs(known[2]) do
        local value = event[i]
        if role == "out" then
            step.out = operand_of(value, live, places, event.kind).activation
                or error("export_plan: " .. event.kind .. " writes to what is no activation")
            local dims = value:dims()
            step.rows, step.columns = size_of(dims[1], event.kind), size_of(dims[2], event.kind)
        elseif role == "in" then
            step.inputs[#step.inputs + 1] = value and operand_of(value, live, places, event.kind) or {}
        elseif role == "activation" then
            step.activation = ACTIVATIONS[value]
        elseif value ~= nil and role == "-" then
            error(("export_plan: argument %d of %s is not nil"):format(i, event.kind))
        elseif role ~= "-" and value ~= SETTINGS[role] then
            error(("export_plan: %s of %s is %s, the configuration says %s"):format(role, event.kind, tostring(value),
                tostring(SETTINGS[role])))
        end
    end
    return step
end

--- Run a model, and return its steps; activations are numbered in the order in which they are made.
local function record(model, run)
    model.store:allocate { training = false }
    local tape = Tape.new { arena = setmetatable({ arena = memory.arena(2 ^ 24) }, Arena) }
    tape:start(0, 0, false)
    events = {}
    local result = run(model, tape, BATCH)
    local recorded = events
    events = nil
    local steps, live, count, places = {}, {}, 0, places_of(model.store)
    for _, event in ipairs(recorded) do
        local t = event.tensor
        if event.kind == "take" then
            count = count + 1
            live[key(t) .. dims_text(t)] = count
        elseif event.kind == "give" then
            steps[#steps + 1] = { op = "RELEASE", inputs = { { activation = live[key(t) .. dims_text(t)] } } }
            live[key(t) .. dims_text(t)] = nil
        else
            steps[#steps + 1] = step_of(event, live, places)
        end
    end
    local last = live[key(result.value) .. dims_text(result.value)]
    for _, number in pairs(live) do
        if number ~= last then error "export_plan: an activation beside the result is never given back" end
    end
    return steps, last
end

-- ---------------------------------------------------------------- parts

local function layer_of(step)
    for _, operand in ipairs(step.inputs) do
        if operand.layer then return operand.layer end
    end
end

local function copy(list, first, last)
    local part = {}
    for i = first, last do part[#part + 1] = list[i] end
    return part
end

--- Steps of embeddings, of layers and of the head.
local function divide(steps)
    local begins = {}
    for i, step in ipairs(steps) do
        local layer = layer_of(step)
        if layer and not begins[layer] then begins[layer] = i end
    end
    local first, second = begins[0], begins[1]
    local length = second - first
    return copy(steps, 1, first - 1), { copy(steps, first, second - 1), copy(steps, second, second + length - 1) },
        copy(steps, second + length, #steps)
end

local function operand_text(operand, registers)
    if operand.input then return "BL_PLAN_" .. operand.input:upper() end
    if operand.parameter then return operand.parameter.constant end
    if operand.activation then
        return "R" .. (registers[operand.activation] or error "export_plan: an activation is read after its release")
    end
    return "0"
end

--- The C text of a part's steps. Activations get the lowest register that is free.
-- @param input number of the activation that it begins with, or nil
-- @return lines, number of the activation that is left, its register
local function text_of(steps, input)
    local registers, used, lines, latest = {}, {}, {}, input
    if input then registers[input], used[0] = 0, true end
    for _, step in ipairs(steps) do
        if step.out then
            local free = 0
            while used[free] do free = free + 1 end
            registers[step.out], used[free], latest = free, true, step.out
        end
        local inputs = {}
        for i, operand in ipairs(step.inputs) do inputs[i] = operand_text(operand, registers) end
        if step.op == "RELEASE" then
            local given = step.inputs[1].activation
            used[registers[given]], registers[given] = nil, nil
            lines[#lines + 1] = ("{.op = BL_PLAN_RELEASE, .in = {%s}},"):format(inputs[1])
        else
            lines[#lines + 1] = ("{BL_PLAN_%s, R%d, {%s}, BL_SIZE_%s, BL_SIZE_%s, %s},"):format(step.op,
                registers[step.out], table.concat(inputs, ", "), step.rows, step.columns,
                step.activation or "BL_LINEAR")
        end
    end
    for number in pairs(registers) do
        if number ~= latest then error "export_plan: a part leaves more than its result" end
    end
    return lines, latest, registers[latest]
end

local function same(a, b, what)
    if table.concat(a, "\n") ~= table.concat(b, "\n") then
        error(("export_plan: %s are not alike:\n%s\nand\n%s"):format(what, table.concat(a, "\n"),
            table.concat(b, "\n")))
    end
end

--- Embeddings, layer and head of a model.
local function parts_of(model, run)
    local embeddings, layers, head = divide((record(model, run)))
    local parts = {}
    local input
    parts.embeddings, input, parts.embeddings_result = text_of(embeddings)
    local first, middle, result = text_of(layers[1], input)
    local second, output = text_of(layers[2], middle)
    same(first, second, "the layers")
    for _, step in ipairs(layers[2]) do
        local layer = layer_of(step)
        if layer and layer ~= 1 then error "export_plan: layer 1 reads a parameter of another layer" end
    end
    parts.layer, parts.layer_result = first, result
    local _
    parts.head, _, parts.head_result = text_of(head, output)
    return parts
end

-- ---------------------------------------------------------------- the file

local out = {}

local function add(line, ...)
    out[#out + 1] = select("#", ...) > 0 and line:format(...) or line
end

--- A row of a table, broken at commas where it is longer than 120 columns.
local function add_row(text)
    local indent = "    "
    while #indent + #text > 120 do
        local at
        for comma in text:gmatch "(),%s" do
            if #indent + comma <= 120 then at = comma end
        end
        add(indent .. text:sub(1, at))
        text, indent = text:sub(at + 2), "     "
    end
    add(indent .. text)
end

local function add_part(name, lines, result, static)
    if #lines > 0 then
        add("static const bl_plan_step %s_steps[] = {", name)
        for _, line in ipairs(lines) do add_row(line) end
        add "};"
    end
    if static then return end
    add("const bl_plan_part bl_plan_%s = {%s_steps, COUNT(%s_steps), R%d};", name, name, name, result)
end

local function add_parameters()
    add "/* Rows of bl_plan_parameters, and registers. */"
    add "enum {"
    for i, entry in ipairs(ordered) do
        add("    %s%s,", entry.constant, i == 1 and " = BL_PLAN_PARAMETER" or "")
    end
    add "};"
    add "enum { R0 = BL_PLAN_REGISTER, R1, R2, R3, R4, R5, R6, R7 };"
    add ""
    add "const bl_plan_parameter bl_plan_parameters[] = {"
    for _, entry in ipairs(ordered) do
        local names, rows = {}, size_of(entry.dims[1], entry.constant)
        for i, pattern in ipairs(entry.patterns) do names[i] = ('"%s"'):format(pattern) end
        local columns = entry.dims[2] and size_of(entry.dims[2], entry.constant) or "NONE"
        add_row(("{{%s}, %d, BL_SIZE_%s, BL_SIZE_%s, %s, %s},"):format(table.concat(names, ", "), #names, rows, columns,
            entry.low and "true" or "false", entry.layered and "true" or "false"))
    end
    add "};"
    add "const int32_t bl_plan_parameter_count = COUNT(bl_plan_parameters);"
end

local recorded = {}
for i, head in ipairs(HEADS) do
    recorded[i] = parts_of(head[2], head[3])
    same(recorded[1].embeddings, recorded[i].embeddings, "the embeddings of two models")
    same(recorded[1].layer, recorded[i].layer, "the layers of two models")
end

add [[/*
 * plan_table.c - the graph of the model, see plan.h.
 *
 * Generated from the model in Lua; after a change of that:
 * build/bertlua scripts/export_plan.lua engine/encoder/plan_table.c
 */
#include "encoder/plan.h"

/* A row is a step. */
/* clang-format off */
#define COUNT(array) ((int32_t) (sizeof(array) / sizeof *(array)))
]]
add_parameters()
add ""
add_part("embeddings", recorded[1].embeddings, recorded[1].embeddings_result)
add ""
add_part("layer", recorded[1].layer, recorded[1].layer_result)
for i, head in ipairs(HEADS) do
    if #recorded[i].head > 0 then
        add ""
        add_part(head[1]:lower(), recorded[i].head, nil, true)
    end
end
add ""
add "const bl_plan_part bl_plan_heads[BL_HEADS] = {"
for i, head in ipairs(HEADS) do
    local name = head[1]:lower()
    if #recorded[i].head > 0 then
        add("    [BL_HEAD_%s] = {%s_steps, COUNT(%s_steps), R%d},", head[1], name, name, recorded[i].head_result)
    else
        add("    [BL_HEAD_%s] = {NULL, 0, R%d},", head[1], recorded[i].head_result)
    end
end
add "};"

local text = table.concat(out, "\n") .. "\n"
if arg and arg[1] then
    fault.check(fs.write(arg[1], text))
else
    io.stdout:write(text)
end
