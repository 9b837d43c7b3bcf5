--- Event files, taken apart byte by byte: framing, checksums, protobuf fields.

local ffi = require "ffi"

local fs = require "bertlua.util.fs"
local storage = require "bertlua.storage"
local tensorboard = require "bertlua.train.tensorboard"

local function number(ctype, text)
    return tonumber(ffi.cast("const " .. ctype .. " *", text)[0])
end

--- Payloads of a file's records; checks lengths and checksums.
local function records(path)
    local text, list, at = assert(fs.read(path)), {}, 1
    while at <= #text do
        local header = text:sub(at, at + 7)
        local length = number("uint64_t", header)
        assert.are.equal(storage.masked_crc32c(header), number("uint32_t", text:sub(at + 8, at + 11)))
        local data = text:sub(at + 12, at + 11 + length)
        assert.are.equal(length, #data)
        assert.are.equal(storage.masked_crc32c(data),
            number("uint32_t", text:sub(at + 12 + length, at + 15 + length)))
        list[#list + 1] = data
        at = at + 16 + length
    end
    assert.are.equal(#text + 1, at)
    return list
end

--- Fields of a protobuf message in order: list of {number, value}.
local function fields(text)
    local list, at = {}, 1
    local function varint()
        local value, factor = 0, 1
        while true do
            local byte = text:byte(at)
            at = at + 1
            value = value + byte % 128 * factor
            if byte < 128 then return value end
            factor = factor * 128
        end
    end
    while at <= #text do
        local key = varint()
        local wire = key % 8
        local value
        if wire == 0 then
            value = varint()
        elseif wire == 1 then
            value, at = number("double", text:sub(at, at + 7)), at + 8
        elseif wire == 5 then
            value, at = number("float", text:sub(at, at + 3)), at + 4
        else
            assert.are.equal(2, wire)
            local length = varint()
            value, at = text:sub(at, at + length - 1), at + length
        end
        list[#list + 1] = { math.floor(key / 8), value }
    end
    return list
end

describe("tensorboard", function()
    local folder

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-events")
    end)

    after_each(function()
        fs.remove(folder)
    end)

    it("starts with the version, in a file of the right name", function()
        local writer = assert(tensorboard.open(folder .. "/a/b", { now = function() return 1700000000.25 end }))
        assert.matches("^.*/a/b/events%.out%.tfevents%.1700000000%.[%w%.%-_]+$", writer.path)
        local list = records(writer.path)
        assert.are.equal(1, #list)
        assert.are.same({ { 1, 1700000000.25 }, { 3, "brain.Event:2" } }, fields(list[1]))
        writer:close()
    end)

    it("writes scalars with step, time and tag", function()
        local writer = assert(tensorboard.open(folder, { now = function() return 12.5 end }))
        assert(writer:scalars(300, { ["train/loss"] = 7.25, lr = 0.5 }))
        assert(writer:scalar("x", -1, 0))
        assert(writer:scalar("big", 1, 2 ^ 40))
        local list = records(writer.path)
        assert.are.equal(4, #list)
        local event = fields(list[2])
        assert.are.same({ { 1, 12.5 }, { 2, 300 } }, { event[1], event[2] })
        assert.are.equal(5, event[3][1])
        local values = fields(event[3][2])
        assert.are.equal(2, #values)
        assert.are.same({ { 1, "lr" }, { 2, 0.5 } }, fields(values[1][2]))
        assert.are.same({ { 1, "train/loss" }, { 2, 7.25 } }, fields(values[2][2]))
        assert.are.same({ 2, 0 }, fields(list[3])[2])
        assert.are.same({ 2, 2 ^ 40 }, fields(list[4])[2])
        writer:close()
        writer:close()
        assert.are.same({ nil, writer.path .. " is closed" }, { writer:scalar("x", 1, 1) })
    end)

    it("writes NaN and refuses what is not a number", function()
        local writer = assert(tensorboard.open(folder))
        assert(writer:scalar("x", 0 / 0, 1))
        local value = fields(fields(fields(records(writer.path)[2])[3][2])[1][2])[2][2]
        assert.is_true(value ~= value)
        assert.error_matches(function() writer:scalar("x", "1", 1) end, "x is a string, expected a number")
        assert.error_matches(function() writer:scalar("x", 1, -1) end, "step is %-1, expected an integer")
        assert.error_matches(function() writer:scalar("x", 1, 1.5) end, "step is 1.5, expected an integer")
    end)

    it("gives every run a file of its own, even within one second", function()
        for _ = 1, 3 do
            local writer = assert(tensorboard.open(folder, { now = function() return 1 end }))
            writer:close()
        end
        assert.are.equal(3, #fs.list(folder))
        for _, name in ipairs(fs.list(folder)) do assert.matches("tfevents", name) end
    end)

    it("tells readers to forget later steps where a run goes on", function()
        local writer = assert(tensorboard.open(folder, { now = function() return 5 end, first_step = 301 }))
        local list = records(writer.path)
        assert.are.equal(2, #list)
        local event = fields(list[2])
        assert.are.same({ { 1, 5 }, { 2, 301 } }, { event[1], event[2] })
        assert.are.equal(7, event[3][1])
        assert.are.same({ { 1, 1 } }, fields(event[3][2]))
        writer:close()
    end)

    it("shows no step twice after a kill and a resume", function()
        local clock = 0
        local function write(first_step, steps)
            clock = clock + 1
            local writer = assert(tensorboard.open(folder, { now = function() return clock end,
                first_step = first_step }))
            for _, step in ipairs(steps) do assert(writer:scalar("loss", clock, step)) end
            writer:close()
        end
        write(nil, { 10, 20, 30, 40, 50 })
        -- Killed at 50, its last checkpoint is of step 30; killed again before the next.
        write(31, { 40, 50, 60 })
        write(31, { 40, 50 })
        -- As readers do it: files by name, events in order; a START drops what is as late or later.
        local names, seen = fs.list(folder), {}
        table.sort(names)
        for _, name in ipairs(names) do
            for _, data in ipairs(records(folder .. "/" .. name)) do
                local event, step, kind, value = fields(data), 0, nil, nil
                for _, field in ipairs(event) do
                    if field[1] == 2 then step = field[2] elseif field[1] > 2 then kind, value = field[1], field[2] end
                end
                if kind == 7 then
                    for i = #seen, 1, -1 do
                        if seen[i][1] >= step then table.remove(seen, i) end
                    end
                elseif kind == 5 then
                    seen[#seen + 1] = { step, fields(fields(value)[1][2])[2][2] }
                end
            end
        end
        assert.are.same({ { 10, 1 }, { 20, 1 }, { 30, 1 }, { 40, 3 }, { 50, 3 } }, seen)
    end)

    it("says why it cannot write", function()
        assert.matches("cannot create the folder", select(2, tensorboard.open "/proc/none"))
    end)
end)
