--- A file that several runs make, one after another. Kills at every call that writes: spec/faults/scenarios.lua.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local part = require "bertlua.jobs.embed.part"

describe("a file that grows", function()
    local folder, path, warnings
    local stderr = io.stderr

    before_each(function()
        folder = assert(fs.temporary_folder "bertlua-part-")
        path, warnings = folder .. "/out", {}
        io.stderr = { write = function(_, ...) warnings[#warnings + 1] = table.concat { ... } end, -- luacheck: ignore
            flush = function() end }
    end)
    after_each(function()
        io.stderr = stderr -- luacheck: ignore
        assert(fs.remove(folder))
    end)

    local function open(changes)
        local options = { head = 4, told = { { "the input", "a file" }, { "--pooling", "mean" } } }
        for key, value in pairs(changes or {}) do options[key] = value end
        return part.open(path, options)
    end

    --- What an interrupted run leaves.
    local function interrupted(changes)
        local file = open(changes)
        file:append("abc", 3, { last = "c" })
        return file:abandon()
    end

    local function refused(message, changes)
        local names = fs.list(folder)
        local ok, problem = pcall(open, changes)
        assert.is_false(ok)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.are.equal(message, (tostring(problem):gsub(folder:gsub("%p", "%%%0") .. "/", "")))
        assert.are.same(names, fs.list(folder))
    end

    it("appears when it is whole, with its head", function()
        local file = open()
        file:append("abc", 3, {})
        file:append("de", 2, {})
        assert.are.same({ "out.part", "out.part.json" }, fs.list(folder))
        file:finish "HEAD"
        assert.are.same({ "out" }, fs.list(folder))
        assert.are.equal("HEADabcde", fs.read(path))
        assert.are.same({}, warnings)
    end)

    it("goes on where a run has left it, without what was not finished", function()
        assert.are.equal(("3 vectors are in %s.part, and the same command goes on from there"):format(path),
            interrupted())
        local half = assert(io.open(path .. ".part", "ab"))
        half:write "half"
        half:close()
        assert(fs.write(path .. ".part.json.tmp-4194399", "half"))
        local file = open()
        assert.are.same({ 3, { last = "c" } }, { file.rows, file.notes })
        file:append("de", 2, {})
        file:finish "HEAD"
        assert.are.equal("HEADabcde", fs.read(path))
        assert.are.same({ "out" }, fs.list(folder))
    end)

    it("keeps an earlier one that differs, and replaces one that is the same", function()
        for _, text in ipairs { "abc", "abd", "abd" } do
            local file = open()
            file:append(text, 3, {})
            file:finish "HEAD"
        end
        assert.are.same({ "HEADabd", "HEADabc" }, { fs.read(path), fs.read(path .. ".1") })
        assert.are.same({ "out", "out.1" }, fs.list(folder))
        assert.matches("out was there already and differs: kept as .*out.1", table.concat(warnings):gsub("\n%s*", " "))
    end)

    it("leaves nothing where there is nothing to go on with", function()
        assert.are.equal("nothing was written to " .. path, open():abandon())
        assert.are.same({}, fs.list(folder))
        local file = open()
        file:append("abc", 3, {})
        assert.are.equal("nothing was written to " .. path, file:abandon(true))
        assert.are.same({}, fs.list(folder))
    end)

    it("is refused to a run that is told otherwise, unless that begins anew", function()
        interrupted()
        local told = { { "the input", "a file" }, { "--pooling", "cls" } }
        refused("out.part: holds 3 vectors of an interrupted run that was told otherwise (--pooling was mean, now it "
            .. "is cls): give the same command to go on with it; --overwrite discards it and begins anew",
            { told = told })
        local file = open { told = told, overwrite = true }
        assert.are.same({ 0, {} }, { file.rows, file.notes })
        file:finish "HEAD"
        assert.are.equal("HEAD", fs.read(path))
        assert.matches("out.part: 3 vectors are of an interrupted run, and are discarded",
            (table.concat(warnings):gsub("\n%s*", " ")))
    end)

    it("is refused where it is damaged, or nobody knows what it is", function()
        interrupted()
        local state = assert(fs.read(path .. ".part.json"))
        assert(fs.write(path .. ".part", "\0\0\0\0abd"))
        local anew = "; --overwrite discards it and begins anew"
        refused("out.part: is damaged: its bytes are not those that the interrupted run wrote" .. anew)
        assert(fs.write(path .. ".part", "\0\0\0\0ab"))
        refused("out.part: is damaged: its bytes are not those that the interrupted run wrote" .. anew)
        assert(fs.write(path .. ".part.json", (state:gsub('"rows": 3', '"rows": 2'))))
        local ok, problem = pcall(open)
        assert.is_false(ok)
        assert.matches("what an interrupted run wrote about it cannot be used: .*out.part.json: is damaged",
            tostring(problem))
        assert(fs.remove(path .. ".part.json"))
        refused("out.part: is there already, and nothing beside it says what it is" .. anew)
        open({ overwrite = true }):finish "HEAD"
        -- Without its file a record means nothing.
        assert(fs.write(path .. ".part.json", state))
        assert.are.equal(0, json.decode(state).rows - 3)
        local file = open()
        assert.are.equal(0, file.rows)
        file:abandon()
    end)

    it("does not go on with what came through a pipe, and says so", function()
        interrupted { told = { { "the input", "standard input" } } }
        local file = open()
        assert.are.equal(0, file.rows)
        file:abandon()
        assert.matches("discarded: the interrupted run read standard input",
            (table.concat(warnings):gsub("\n%s*", " ")))
    end)

    it("belongs to one run at a time", function()
        local file = open()
        refused("out: another run is writing it (out.part is locked): choose another --output, or stop that run")
        file:abandon()
        path = folder .. "/none/out"
        refused("none/out: cannot write: there is no such folder: make it, or correct --output")
    end)
end)
