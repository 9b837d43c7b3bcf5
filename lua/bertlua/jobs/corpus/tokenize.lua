--- Job: reads JSON lines with a text, writes JSON lines with tokens and ids.

local cjson = require "cjson"

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local settings = require "bertlua.settings"
local text_source = require "bertlua.data.text_source"
local Tokenizer = require "bertlua.text.tokenizer"

local M = {}

M.settings = settings.define {
    { name = "vocab_file", type = "path", find = paths.vocabulary, required = true, group = "Text",
      help = "one token per line: a path, or a name in bertlua's vocab/" },
    { name = "do_lower_case", type = "boolean", default = true, group = "Text",
      help = "lower-case and strip accents; must match the vocabulary" },
    { name = "any_casing", type = "boolean", default = false, group = "Text",
      help = "accept a vocabulary whose casing does not match do_lower_case" },
    unpack(text_source.settings)
}

--- The text of one input line; a fault that names the line if it has none.
local function text_of(line, number, field)
    local ok, value = pcall(cjson.decode, line)
    if not ok then
        local reason = tostring(value):gsub("^.-:%d+: ", "")
        fault.raisef('line %d: not JSON (%s), expected {"%s": "..."}', number, reason, field)
    elseif type(value) ~= "table" then
        fault.raisef('line %d: got %s, expected {"%s": "..."}', number,
            value == cjson.null and "null" or "a JSON " .. type(value), field)
    end
    local text = value[field]
    if type(text) ~= "string" then
        local got = text == nil and "no member " .. field or text == cjson.null and field .. " is null"
            or field .. " is a " .. type(text)
        fault.raisef('line %d: %s, expected {"%s": "..."}', number, got, field)
    end
    return text
end

--- Tokenize line by line; blank lines are skipped.
-- @param tokenizer bertlua.text.tokenizer
-- @param lines iterator of input lines
-- @param write function(line) called with each result, line end included
-- @tparam ?string field member that holds the text; default "text"
-- @return number of texts
function M.run(tokenizer, lines, write, field)
    local quoted = setmetatable({}, { __index = function(self, id)
        -- cjson escapes slashes, which JSON allows but nobody expects.
        local text = cjson.encode(tokenizer:token(id)):gsub("\\/", "/")
        rawset(self, id, text)
        return text
    end })
    local number, texts = 0, 0
    for line in lines do
        number = number + 1
        if line:find "%S" then
            local ids, count = tokenizer:encode_array(text_of(line, number, field or "text"))
            local token_list, id_list = {}, {}
            for i = 1, count do
                local id = ids[i - 1]
                token_list[i], id_list[i] = quoted[id], id
            end
            write(('{"tokens": [%s], "ids": [%s]}\n'):format(table.concat(token_list, ", "),
                table.concat(id_list, ", ")))
            texts = texts + 1
        end
    end
    return texts
end

--- Entry point of the recipe: its own settings, then the command line; standard input to standard output.
function M.main(overrides, description)
    local values = M.settings:parse(arg or {}, overrides, {
        description = description,
    })
    paths.check_vocabulary(values.vocab_file)
    local tokenizer = Tokenizer.load(values.vocab_file, {
        do_lower_case = values.do_lower_case,
        any_casing = values.any_casing,
    })
    local input = text_source.open("-", { form = "jsonl", encoding = values.encoding,
        invalid_utf8 = values.invalid_utf8, text_field = values.text_field })
    M.run(tokenizer, input:lines(), function(line)
        local ok, message = fs.put(io.stdout, line)
        if not ok then fault.raise("standard output: " .. message) end
    end, values.text_field)
    if input:replaced() > 0 then
        io.stderr:write(("warning: invalid UTF-8: %s replaced by U+FFFD\n"):format(
            plural.count(input:replaced(), "byte")))
    end
    input:close()
    local ok, message = fs.append(io.stdout)
    if not ok then fault.raise("standard output: " .. message) end
end

return M
