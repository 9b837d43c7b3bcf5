--- Labels that are texts, and texts to evaluate on that are trained on.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local leaks = require "bertlua.jobs.common.leaks"

describe("leaks", function()
    it("of columns are refused", function()
        for expected, values in pairs {
            ["--label-column and --text-column are both a: the label is in another column"] =
                { text_column = "a", label_column = "a" },
            ["--label-column and --pair-column are both b: the label is in another column"] =
                { text_column = "a", pair_column = "b", label_column = "b" },
            ["--pair-column and --text-column are both a: the second text is in another column"] =
                { text_column = "a", pair_column = "a", label_column = "b" },
        } do
            local ok, message = pcall(leaks.check_columns, values)
            assert.is_false(ok)
            assert.are.equal(expected, fault.message(message))
        end
        leaks.check_columns { text_column = "a", pair_column = "b", label_column = "c" }
        leaks.check_columns {}
    end)

    it("of files are told, whatever their names, and in how many of them", function()
        local folder = assert(fs.temporary_folder "leaks_spec")
        finally(function() fs.remove(folder) end)
        local function path(name) return folder .. "/" .. name end
        for name, text in pairs { a = "one\n", copy = "one\n", b = "two\n", none = "", empty = "" } do
            assert(fs.write(path(name), text))
        end
        assert.are.equal(true, os.execute(("ln -s a %s"):format(path "link")) == 0)
        local function told(train, held)
            local run = { warnings = {} }
            for _, list in ipairs { train, held } do
                for i, name in ipairs(list) do list[i] = path(name) end
            end
            leaks.warn_of_files(run, train, "--dev-file X", held)
            return run.warnings[1]
        end
        local rest = " also trained on: figures for texts that a model has seen do not tell what it has learned"
        for _, name in ipairs { "a", "copy", "link" } do
            assert.are.equal("--dev-file X: this file is" .. rest, told({ "b", "a" }, { name }))
        end
        assert.are.equal("--dev-file X: 1 of its 2 files is" .. rest, told({ "a" }, { "b", "link" }))
        assert.are.equal("--dev-file X: 2 of its 2 files are" .. rest, told({ "a", "b" }, { "b", "link" }))
        assert.is_nil(told({ "a", "empty" }, { "b", "none" }))
        assert.is_nil(told({ "missing" }, { "missing", "gone" }))
    end)

    it("are looked for in as few bytes as tell", function()
        local storage = require "bertlua.storage"
        local folder = assert(fs.temporary_folder "leaks_spec")
        local read = spy.on(storage, "file_crc32c")
        finally(function()
            storage.file_crc32c:revert()
            fs.remove(folder)
        end)
        local function files(name, count, text)
            local list = {}
            for i = 1, count do
                list[i] = ("%s/%s%d"):format(folder, name, i)
                assert(fs.write(list[i], text(i)))
            end
            return list
        end
        local tail = ("x"):rep(2 ^ 16)
        local train = files("train", 5, function(i) return i .. tail end)
        local function told(held)
            local run = { warnings = {} }
            leaks.warn_of_files(run, train, "--dev-file X", held)
            return run.warnings[1]
        end
        -- They begin otherwise, or are longer, or are the very file.
        assert.is_nil(told(files("other", 3, function(i) return i + 5 .. tail end)))
        assert.is_nil(told(files("longer", 3, function(i) return i .. tail .. "x" end)))
        assert.matches("2 of its 2 files", told { train[1], train[5] })
        assert.spy(read).was.called(0)
        assert.is_nil(told(files("end", 3, function(i) return i .. tail:sub(2) .. "y" end)))
        assert.spy(read).was.called(6)
    end)
end)
