--- Tiny models of every kind, with parameters drawn at random, and the vocabulary of several scripts that they share:
-- for specs that compare what the engine's encoder reads with what Lua reads.

local BertConfig = require "bertlua.models.bert_config"
local api = require "bertlua.encoder_api"
local checkpoint = require "bertlua.train.checkpoint"
local context = require "bertlua.context"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local lua_encoder = require "spec.support.lua_encoder"
local vocabulary = require "spec.support.vocabulary"

local M = {}

M.CLASSES = {
    answers = "bertlua.models.question_answering",
    labels = "bertlua.models.sequence_classification",
    tags = "bertlua.models.token_classification",
}

local WORDS = "the a cat dog house sat on in of mat film was good bad un ##seen ##s ##able who wrote it ada"
local CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?()[]{}\"'-_/#%&*+<=>@~"
    .. "¿äöüßéяживаαβγσςאבתمرحبا京北是首都你好的ไทย😀"

--- Lines of the vocabulary: words, every character, and every character within a word.
function M.vocabulary()
    local list, seen = {}, {}
    local function add(token)
        if not seen[token] then
            seen[token] = true
            list[#list + 1] = token
        end
    end
    for word in WORDS:gmatch "%S+" do add(word) end
    for _, character in ipairs(vocabulary.characters(CHARACTERS)) do
        add(character)
        add("##" .. character)
    end
    return vocabulary.text(list)
end

--- Texts that are hard to cut, in many scripts.
M.TEXTS = {
    "", " ", "the cat", "The [MASK] sat on the mats, unseen.", "[SEP]", "[MASK][MASK] [CLS]x[PAD]", "[[MASK]] [mask]",
    "[MASK", "MASK]", "[UNK]ä[FOO]", "naïve ÄÖÜ straße", "ЯЖИ вава", "ΑΒΓ σς",
    "北京是中国的首都你好", "ไทย ไทยไทย",
    "مرحبا بالعالم", "אבת", "😀😀 👩‍👩‍👧", "e\204\129\204\129\204\129",
    "a\194\160b\226\128\175c\227\128\128d\226\128\139e",
    "\239\187\191bom \239\191\189", "x\1y\127z\194\133", ("unseen "):rep(40), ("a"):rep(500), ("[SEP]"):rep(60),
    ("(("):rep(50) .. "))", "1.5e-3%, #hash ##seen @user http://x.y/z?q=1&r=2", "tab\tnew\nline\r\nend",
}

--- A folder with a model.
-- @tparam string folder to be made
-- @tparam string kind "answers", "labels", "tags" or "words"
-- @tparam[opt] table options config: other keys of the configuration; names: labels; seed; lower (true)
-- @treturn string folder
function M.write(folder, kind, options)
    options = options or {}
    local text, id2label = M.vocabulary(), {}
    local _, size = text:gsub("\n", "")
    for i, name in ipairs(options.names or { "O", "B", "I" }) do id2label[tostring(i - 1)] = name end
    local values = { model_type = "bert", vocab_size = size, hidden_size = 32, num_hidden_layers = 2,
        num_attention_heads = 2, intermediate_size = 48, max_position_embeddings = 48, initializer_range = 0.2,
        id2label = (kind == "labels" or kind == "tags") and id2label or nil }
    for key, value in pairs(options.config or {}) do values[key] = value end
    local config = BertConfig.new(values)
    local class = kind == "words" and require("bertlua.models.bert").BertForPretraining or require(M.CLASSES[kind])
    local model = class.new(config)
    model.store:allocate { seed = options.seed or 1, training = false }
    assert(fs.mkdirs(folder))
    local source = folder .. ".txt"
    assert(fs.write(source, text))
    local lower = options.lower
    if lower == nil then lower = true end
    checkpoint.export(folder, { store = model.store, config = config, vocab_file = source, do_lower_case = lower })
    model.store:free()
    os.remove(source)
    return folder
end

--- Compute with one thread, on the CPU: models so small take longer with more. finish() returns to what was before.
function M.begin()
    context.open { device = "cpu", threads = 1 }
end

function M.finish()
    context.open()
end

--- Open a folder in C, with one thread. Returns the encoder; or nil, message.
function M.open(path, options)
    local values = { threads = 1 }
    for name, value in pairs(options or {}) do values[name] = value end
    return api.open(path, values)
end

--- Open it in Lua, to compare with.
M.load = lua_encoder.load

--- A model of a kind, opened both ways, with one thread: {path, lua, c, close()}.
function M.both(kind)
    M.begin()
    local folder = assert(fs.temporary_folder("bertlua-" .. kind .. "-"))
    local path = M.write(folder .. "/" .. kind, kind)
    local both = { path = path, lua = M.load(path), c = assert(M.open(path)) }
    function both.close()
        M.finish()
        both.lua:close()
        both.c:close()
        fs.remove(folder)
    end
    return both
end

--- Change keys of a JSON file in a folder; false removes one.
function M.change(folder, name, changes)
    local path = folder .. "/" .. name
    local values = fs.is_file(path) and assert(json.read(path)) or {}
    for key, value in pairs(changes) do
        if value == false then value = nil end
        values[key] = value
    end
    assert(fs.write(path, json.encode(values)))
    -- It vouches for the file as it was.
    os.remove(folder .. "/checksums.json")
end

return M
