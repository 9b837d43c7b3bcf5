--- Plain text files as parts.

local fs = require "bertlua.util.fs"
local plain = require "bertlua.corpus.plain"
local process = require "spec.support.process"

local function prepare(folder, arguments, setup)
    return process.run_bertlua(("%s --output-dir %s %s"):format(process.quote(process.root
        .. "/recipes/prepare_corpus.lua"), process.quote(folder), arguments), setup)
end

describe("large text files", function()
    it("are cut between documents", function()
        local paragraph = ("The mill is old and grey. "):rep(40) .. "\n"
        local article = " = Mill = \n\n " .. paragraph .. "\n = = Wheel = = \n\n " .. paragraph .. "\n"
        local path = process.temporary(article:rep(math.ceil(17 * 2 ^ 20 / #article)))
        local parts = plain.parts({ path }, "auto", "corpus")
        assert.are.equal(2, #parts)
        local file = assert(io.open(path, "rb"))
        file:seek("set", parts[2].pieces[1].first)
        assert.are.equal(" = Mill = ", file:read "*l")
        file:close()
        assert.are.equal(parts[1].pieces[1].stop, parts[2].pieces[1].first)
        assert.are.equal(fs.size(path), parts[2].pieces[1].stop)
        os.remove(path)
    end)
end)

describe("small text files", function()
    local base, files
    setup(function()
        base = assert(fs.temporary_folder())
        files = {}
        for i = 1, 50 do
            files[i] = ("%s/%02d"):format(base, i)
            assert(fs.write(files[i], ("Text %d.\n\nIts second paragraph.\n"):format(i)))
        end
    end)
    teardown(function() fs.remove(base) end)

    --- Make the parts; their records, and the text of all of them.
    local function make(list, border)
        local job = { output_dir = base .. "/out" }
        assert(fs.mkdirs(job.output_dir .. "/text"))
        local run = plain.run(job, job.output_dir .. "/text", "error")
        local records, texts = {}, {}
        for i, part in ipairs(plain.parts(list, border, "corpus")) do
            local last = 0
            records[i] = run(part, function(done)
                assert.is_true(done >= last and done <= part.size)
                last = done
            end)
            texts[i] = records[i].files[1] and assert(fs.read(fs.join(job.output_dir, records[i].files[1].path)))
        end
        return records, table.concat(texts)
    end

    it("are read together, each as a document of its own, in their order", function()
        local records, text = make(files, "auto")
        assert.are.equal(1, #records)
        assert.are.equal(50, records[1].files[1].documents)
        local expected = {}
        for i = 1, 50 do expected[i] = ("Text %d.\nIts second paragraph.\n\n"):format(i) end
        assert.are.equal(table.concat(expected), text)
        local file = records[1].files[1]
        assert.are.same({ files[1], files[50], 50 }, { file.source, file.last_source, file.sources })
    end)

    it("are not joined beyond a megabyte", function()
        local large = base .. "/large"
        assert(fs.write(large, ("A line of text.\n"):rep(50000)))
        local parts = plain.parts({ large, files[1], large, files[2] }, "none", "x")
        assert.are.same({ 2, 2 }, { #parts[1].pieces, #parts[2].pieces })
        assert.are.same({ source = large, last_source = files[1], sources = 2 }, plain.origin(parts[1]))
        assert.are.same({ source = large, first = 0, stop = 800000 },
            plain.origin(plain.parts({ large }, "none", "x")[1]))
    end)

    it("are named where one of them is not text, or has none", function()
        local bad, empty = base .. "/bad", base .. "/empty"
        assert(fs.write(bad, "good, \255 bad"))
        assert.error_matches(function() make({ files[1], bad }, "none") end, "/bad: byte 6: invalid UTF%-8")
        assert(fs.write(empty, " \n\n"))
        local records = make({ files[1], empty }, "none")
        assert.are.same({ 1, empty }, { records[1].silent, records[1].silent_path })
    end)

    it("have documents of one line each on request", function()
        local path = base .. "/lines"
        assert(fs.write(path, "\nOne article. It has two sentences.\nAnother.\n\n\nA third.\n"))
        local records, text = make({ path }, "line")
        assert.are.equal(3, records[1].files[1].documents)
        assert.are.equal("One article. It has two sentences.\n\nAnother.\n\nA third.\n\n", text)
    end)
end)

describe("text that is not UTF-8", function()
    it("passes as U+FFFD on request", function()
        local base = process.temporary_folder()
        assert(fs.mkdirs(base .. "/in"))
        assert(fs.write(base .. "/in/a.txt", "\255A b\255\254d line, caf\195\169.\nEnds in \195"))
        local output, code = prepare(base .. "/out", ("--variant corpus --corpus-dir %s --stages extract "
            .. "--invalid-utf8 replace"):format(base .. "/in"))
        local text = fs.read(base .. "/out/text/corpus-00000.txt")
        fs.remove(base)
        assert.are.equal(0, code, output)
        assert.is_truthy(output:find("invalid UTF-8: 4 bytes replaced", 1, true), output)
        assert.are.equal("\239\191\189A b\239\191\189\239\191\189d line, caf\195\169.\nEnds in \239\191\189\n\n", text)
    end)
end)
