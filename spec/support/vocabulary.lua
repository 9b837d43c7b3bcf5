--- Small vocabularies for tests, in files of a temporary folder.

local fs = require "bertlua.util.fs"

local M = {}

M.SPECIAL = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }

--- Run body(write) with write(text) -> path of a new file that holds text; the files are removed afterwards.
function M.with_files(body)
    local folder = assert(fs.temporary_folder "bertlua-text")
    local number = 0
    local ok, message = pcall(body, function(text)
        number = number + 1
        local path = ("%s/file-%d.txt"):format(folder, number)
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
        return path
    end, folder)
    assert(fs.remove(folder))
    if not ok then error(message, 0) end
end

--- Text of a vocabulary: the special tokens, then these.
function M.text(tokens)
    local list = {}
    for _, token in ipairs(M.SPECIAL) do list[#list + 1] = token end
    for _, token in ipairs(tokens) do list[#list + 1] = token end
    return table.concat(list, "\n") .. "\n"
end

--- Characters of a UTF-8 string.
function M.characters(text)
    local list = {}
    for c in text:gmatch "[%z\1-\127\194-\244][\128-\191]*" do list[#list + 1] = c end
    return list
end

--- A small generator, so that test data never depends on the platform: whole numbers in [1, n].
function M.random(seed)
    local state = seed
    return function(n)
        state = (state * 1103515245 + 12345) % 2147483648
        return math.floor(state / 2147483648 * n) + 1
    end
end

return M
