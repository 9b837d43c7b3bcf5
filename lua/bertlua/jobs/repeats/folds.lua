--- Cross-validation: a file of items divided into parts, each of which is held out once.
--
-- Items are dealt to the parts in an order drawn from the seed, those of one label after those of another, so that each
-- part has its share of each label. An item that alone in the file has a name (a label, a tag), or whose name would
-- occur in no other part, is in the training files of all folds: held out, it would be of a label that nothing was
-- trained on. The files keep the items' order and bytes, and are UTF-8.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local text_source = require "bertlua.data.text_source"

local M = {}

-- Park and Miller's generator: the same on all machines, and all of its products are exact in a double.
local function generator(seed)
    local state = seed % 2147483646 + 1
    local function random(n)
        state = state * 48271 % 2147483647
        return state % n
    end
    for _ = 1, 8 do random(1) end
    return random
end

local function shuffle(list, random)
    for i = #list, 2, -1 do
        local k = random(i) + 1
        list[i], list[k] = list[k], list[i]
    end
end

--- Divide items.
-- @param items list of {stratum = text, or nil; names = list of texts}
-- @param count of parts
-- @param seed of the order
-- @return list: the part that holds each item out, 0 for one that is never held out; how many those are
function M.deal(items, count, seed)
    local random, strata, order = generator(seed), {}, {}
    for i, item in ipairs(items) do
        local key = item.stratum or ""
        if not strata[key] then
            strata[key] = {}
            order[#order + 1] = key
        end
        table.insert(strata[key], i)
    end
    table.sort(order)
    local part_of, dealt = {}, 0
    for _, key in ipairs(order) do
        shuffle(strata[key], random)
        for _, i in ipairs(strata[key]) do part_of[i], dealt = dealt % count + 1, dealt + 1 end
    end
    -- Names that one part alone holds.
    local only = {}
    for i, item in ipairs(items) do
        for _, name in ipairs(item.names) do
            only[name] = (only[name] == nil or only[name] == part_of[i]) and part_of[i] or 0
        end
    end
    local kept = 0
    for i, item in ipairs(items) do
        for _, name in ipairs(item.names) do
            if only[name] ~= 0 and part_of[i] ~= 0 then part_of[i], kept = 0, kept + 1 end
        end
    end
    return part_of, kept
end

--- The text before the first item, and that of each item.
-- @param firsts list of the numbers of the items' first lines
local function slices(text, firsts)
    if text:sub(-1) ~= "\n" then text = text .. "\n" end
    local starts, line, at, next_item = {}, 1, 1, 1
    while at and next_item <= #firsts do
        if line == firsts[next_item] then starts[next_item], next_item = at, next_item + 1 end
        at = text:find("\n", at, true)
        at, line = at and at + 1, line + 1
    end
    local list = {}
    for i, start in ipairs(starts) do list[i] = text:sub(start, (starts[i + 1] or #text + 1) - 1) end
    return text:sub(1, (starts[1] or 1) - 1), list
end

local function write(path, text)
    if fs.is_file(path) then
        if fs.read(path) == text then return end
        fault.raisef("%s: an earlier call divided the file otherwise (its texts, the seed or the number of folds were "
            .. "others): choose another --output-dir", path)
    end
    fault.check(fs.write(path, text))
end

--- Write the files of all folds, or find them as an earlier call wrote them: FOLDER/N-train.ENDING, N-dev.ENDING.
-- @param items of the task's `folds`: list of {line, stratum, names}
-- @param values settings: train_file, folds, seed, encoding, invalid_utf8
-- @param folder for them
-- @return list of {train, dev}: paths; lines for the user
function M.write(items, values, folder)
    local path, count = values.train_file, values.folds
    if #items < count then
        fault.raisef("--folds %d, but %s has only %d texts", count, path, #items)
    end
    local firsts = {}
    for i, item in ipairs(items) do firsts[i] = item.line end
    local head, parts = slices(text_source.need(path, values), firsts)
    local part_of, kept = M.deal(items, count, values.seed)
    local ending, files = text_source.ending(path), {}
    ending = ending ~= "" and "." .. ending or ""
    fault.check(fs.mkdirs(folder))
    for fold = 1, count do
        local train, dev = { head }, { head }
        for i, part in ipairs(parts) do table.insert(part_of[i] == fold and dev or train, part) end
        if #dev == 1 then fault.raisef("--folds %d: fold %d of %s would be empty: choose fewer", count, fold, path) end
        files[fold] = { train = ("%s/%d-train%s"):format(folder, fold, ending),
            dev = ("%s/%d-dev%s"):format(folder, fold, ending) }
        write(files[fold].train, table.concat(train))
        write(files[fold].dev, table.concat(dev))
    end
    local lines = {}
    if kept > 0 then
        lines[1] = ("%s: %d of %d texts have a label that is nowhere else, and are never held out"):format(path, kept,
            #items)
    end
    return files, lines
end

return M
