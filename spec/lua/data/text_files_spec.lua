--- Files of texts that one setting names.

local fs = require "bertlua.util.fs"
local text_files = require "bertlua.data.text_files"

describe("files of texts", function()
    local folder

    setup(function()
        folder = assert(fs.temporary_folder "text_files")
        for _, name in ipairs { "b.txt", "a.txt", "notes.pdf", "c.jsonl", "odd,name.txt" } do
            assert(fs.write(folder .. "/" .. name, name))
        end
        assert(fs.mkdirs(folder .. "/empty"))
    end)

    teardown(function() assert(fs.remove(folder)) end)

    local function found(names)
        local files, others = text_files.find(names:gsub("@", folder), "--train-file")
        for i, path in ipairs(files) do files[i] = path:sub(#folder + 2) end
        return files, others
    end

    it("are a file, a folder, a pattern, or several of these, each file once", function()
        assert.are.same({ "b.txt" }, (found "@/b.txt"))
        local files, others = found "@"
        assert.are.same({ "a.txt", "b.txt", "odd,name.txt" }, files)
        assert.are.equal(2, others)
        assert.are.same({ "a.txt", "b.txt", "odd,name.txt" }, (found "@/*.txt"))
        assert.are.same({ "a.txt", "b.txt", "c.jsonl" }, (found "@/c.*,@/[ab].txt,@/a.txt"))
        assert.are.same({ "odd,name.txt" }, (found "@/odd,name.txt"))
    end)

    it("are refused in one line where there are none", function()
        for names, message in pairs {
            ["@/no.txt"] = "/no.txt: no such file or folder", ["@/*.md"] = "/*.md: no file matches this pattern",
            ["@/empty"] = "/empty: contains no text", [","] = "--train-file is empty",
        } do
            local good, problem = pcall(found, names)
            assert.is_false(good)
            assert.matches(message, tostring(problem), 1, true)
        end
    end)

    it("are listed with what they are compared by", function()
        local list = text_files.listed { folder .. "/a.txt", folder .. "/b.txt" }
        assert.are.same({ folder .. "/a.txt", 0, 5 }, { list[1].name, list[1].samples, list[1].bytes })
        assert.is_true(list[1].checksum ~= list[2].checksum)
    end)
end)
