--- A folder that is written as a whole. Kills at every call that writes: spec/faults/run.lua --scenario convert.

local fs = require "bertlua.util.fs"
local new_folder = require "bertlua.util.new_folder"
local unistd = require "posix.unistd"

-- Larger than any process id.
local GONE = 2 ^ 22 + 7

describe("a new folder", function()
    local base, path

    before_each(function()
        base = assert(fs.temporary_folder())
        path = base .. "/made"
    end)
    after_each(function() fs.remove(base) end)

    local function make(folder)
        assert(fs.write(folder .. "/config.json", "c"))
        assert(fs.write(folder .. "/model", "m"))
    end

    --- What a process that was killed while it moved its files leaves.
    local function killed(pid)
        local hidden = ("%s/.unfinished-%d"):format(path, pid or GONE)
        assert(fs.mkdirs(hidden))
        assert(fs.write(hidden .. "/.moving", "model\nconfig.json\n"))
        assert(fs.write(hidden .. "/config.json", "half"))
        assert(fs.write(path .. "/model", "old"))
        return hidden
    end

    it("holds its files and nothing else", function()
        new_folder.write(path, "config.json", make)
        assert.are.same({ "config.json", "model" }, fs.list(path))
        assert.are.equal("c", fs.read(path .. "/config.json"))
        assert(fs.mkdirs(base .. "/empty"))
        assert(unistd.link(base .. "/empty", base .. "/link", true))
        new_folder.write(base .. "/link", "config.json", make)
        assert.are.same({ "config.json", "model" }, fs.list(base .. "/empty"))
    end)

    it("gets the file that completes it last", function()
        local rename, moved = fs.rename, {}
        fs.rename = function(from, to)
            moved[#moved + 1] = fs.basename(to)
            return rename(from, to)
        end
        local ok, problem = pcall(new_folder.write, path, "config.json", make)
        fs.rename = rename
        assert.is_true(ok, tostring(problem))
        assert.are.same({ "model", "config.json" }, moved)
    end)

    it("replaces what a killed process left", function()
        killed()
        assert.is_true(new_folder.check(path))
        new_folder.write(path, "config.json", make)
        assert.are.same({ "config.json", "model" }, fs.list(path))
        assert.are.equal("m", fs.read(path .. "/model"))
    end)

    it("is refused where anything else is in it, which stays", function()
        assert.is_true(new_folder.check(path))
        assert(fs.write(base .. "/file", ""))
        assert.are.equal("is not a folder", select(2, new_folder.check(base .. "/file")))
        assert(fs.mkdirs(path))
        assert.is_true(new_folder.check(path))
        for _, name in ipairs { "notes", ".hidden", "model", ".unfinished-1x" } do
            assert(fs.write(path .. "/" .. name, "precious"))
            assert.are.equal("is not empty", select(2, new_folder.check(path)))
            local ok, problem = pcall(new_folder.write, path, "config.json", make)
            assert.is_false(ok)
            assert.are.equal(path .. ": is not empty", tostring(problem.message))
            assert.are.same({ name }, fs.list(path))
            assert(fs.remove(path .. "/" .. name))
        end
        -- Neither beside what a killed process left, nor as a folder or link of a name that it moved.
        local hidden = killed()
        assert(fs.write(path .. "/notes", "precious"))
        assert.are.equal("is not empty", select(2, new_folder.check(path)))
        assert(fs.remove(path .. "/notes"))
        assert(fs.remove(path .. "/model"))
        assert(fs.mkdirs(path .. "/model"))
        assert.are.equal("is not empty", select(2, new_folder.check(path)))
        assert(fs.remove(path .. "/model"))
        assert(fs.remove(hidden))
        assert(unistd.link(base, hidden, true))
        assert.are.equal("is not empty", select(2, new_folder.check(path)))
    end)

    it("is refused while another process writes there", function()
        killed(unistd.getppid())
        assert.are.equal(("is being written by process %d"):format(unistd.getppid()),
            select(2, new_folder.check(path)))
    end)

    it("is as it was after a failure, which is passed on", function()
        for _, case in ipairs { { "make" }, { "move" }, { "make", true }, { "move", true } } do
            local at, existed = case[1], case[2]
            if existed then assert(fs.mkdirs(path)) end
            local rename = fs.rename
            if at == "move" then
                fs.rename = function(from, to)
                    if fs.basename(to) == "config.json" then return nil, "no more" end
                    return rename(from, to)
                end
            end
            local ok, problem = pcall(new_folder.write, path, "config.json", function(folder)
                make(folder)
                if at == "make" then error("no more", 0) end
            end)
            fs.rename = rename
            assert.is_false(ok)
            assert.are.equal("no more", type(problem) == "table" and problem.message or problem)
            assert.are.same(existed and {} or nil, (fs.list(path)))
        end
    end)
end)
