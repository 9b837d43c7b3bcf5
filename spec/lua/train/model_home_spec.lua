--- What a path to a model may be.

local checkpoint = require "bertlua.train.checkpoint"
local fs = require "bertlua.util.fs"
local model_home = require "bertlua.train.model_home"
local term = require "bertlua.util.term"

describe("the folder of a model", function()
    local folder
    before_each(function() folder = assert(fs.temporary_folder "bertlua-model-home-") end)
    after_each(function() assert(fs.remove(folder)) end)

    local function put(path)
        assert(fs.mkdirs(fs.dirname(folder .. path)))
        assert(fs.write(folder .. path, "{}"))
    end

    --- What is found at a path, without the folder in front.
    local function found(path, prefix)
        local home, file, reason = model_home.find(folder .. path, prefix)
        if reason then return { (reason:gsub(folder:gsub("%p", "%%%0"), "")) } end
        return { home:sub(#folder + 1), file:sub(#folder + 1) }
    end

    it("is the path itself, or that of a file", function()
        put "/m/model.safetensors"
        put "/m/other.safetensors"
        assert.are.same({ "/m", "/m/model.safetensors" }, found "/m")
        assert.are.same({ "/m", "/m/other.safetensors" }, found("/m", "other"))
        assert.are.same({ "/m", "/m/other.safetensors" }, found "/m/other.safetensors")
    end)

    it("is the finished model of a run", function()
        put "/run/model/model.safetensors"
        put "/run/checkpoints/3/model.safetensors"
        assert.are.same({ "/run/model", "/run/model/model.safetensors" }, found "/run")
    end)

    it("may be a checkpoint, which is told where a model or another checkpoint was to be expected", function()
        local preferred, warn, note, warnings = checkpoint.preferred, term.warn, nil, {}
        finally(function() checkpoint.preferred, term.warn = preferred, warn end)
        checkpoint.preferred = function(root) return root .. "/3", 3, note end
        term.warn = function(text) warnings[#warnings + 1] = text:gsub(folder:gsub("%p", "%%%0"), "") end
        put "/steps/3/model.safetensors"
        assert.are.same({ "/steps/3", "/steps/3/model.safetensors" }, found "/steps")
        assert.are.same({}, warnings)
        put "/run/checkpoints/3/model.safetensors"
        assert.are.same({ "/run/checkpoints/3", "/run/checkpoints/3/model.safetensors" }, found "/run")
        found "/run"
        assert.are.same({ "/run holds no finished model; taking the checkpoint /run/checkpoints/3" }, warnings)
        put "/run/model/config.json"
        found "/run"
        assert.are.equal("/run/model holds no parameters; taking the checkpoint /run/checkpoints/3", warnings[2])
        note = "skipped /steps/9 (model.safetensors is damaged); resuming from /steps/3"
        found "/steps"
        assert.are.equal("skipped /steps/9 (model.safetensors is damaged); taking /steps/3", warnings[3])
        assert.are.equal(3, #warnings)
    end)

    it("is said to be missing where there is none, or no complete checkpoint", function()
        assert(fs.mkdirs(folder .. "/run/checkpoints"))
        assert.are.same({ "/run: contains no model.safetensors, pytorch_model.bin or .pdparams, and no complete "
            .. "checkpoint" }, found "/run")
        put "/run/checkpoints/3/model.safetensors"
        assert.are.same({ "none of the checkpoints in /run/checkpoints can be used: /run/checkpoints/3 (progress.json "
            .. "is missing)" }, found "/run")
        assert.are.same({ "/none: no such file or folder" }, found "/none")
        assert.are.equal("the path is empty, expected that of a model", select(3, model_home.find ""))
    end)

    it("is looked for below, and of many three are named", function()
        local function hint() return (model_home.hint(folder):gsub(folder:gsub("%p", "%%%0"), "")) end
        assert.are.equal("", hint())
        assert.are.equal("", model_home.hint(folder .. "/none"))
        put "/a/b/model.safetensors"
        put "/.hidden/model.safetensors"
        put "/a/far/below/here/model.safetensors"
        assert.are.equal("; there is one in /a/b", hint())
        for i = 1, 4 do put(("/run%d/model/model.safetensors"):format(i)) end
        assert.are.equal("; there is one in /a/b, /run1/model, /run2/model, and 2 more", hint())
    end)

    it("is not said to lack a model where it may not be looked into", function()
        assert(fs.mkdirs(folder .. "/closed"))
        -- Permissions do not bind root.
        local list = fs.list
        finally(function() fs.list = list end)
        fs.list = function(path) return nil, path .. ": cannot be listed: Permission denied" end
        assert.are.same({ "/closed: cannot be listed: Permission denied" }, found "/closed")
    end)
end)
