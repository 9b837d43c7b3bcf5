--- Learning a vocabulary from files, and what can go wrong.

local Tokenizer = require "bertlua.text.tokenizer"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local trainer = require "bertlua.text.vocab_trainer"
local vocabulary = require "spec.support.vocabulary"

local TEXT = ("It was the best of times, it was the worst of times.\nNaïve café owners öfter ask: why?\n"):rep(3)

local function once(text)
    local given = false
    return function()
        if given then return nil end
        given = true
        return text
    end
end

describe("vocab_trainer", function()
    it("writes a vocabulary that the tokenizer reads and that covers the text", function()
        vocabulary.with_files(function(write, folder)
            local path = folder .. "/learned.txt"
            local bytes, last = 0, 0
            local tokens, stats = trainer.train {
                files = { write(TEXT) }, vocab_size = 70, output_file = path,
                on_read = function(more) bytes = bytes + more end,
                on_join = function(done) last = done end,
            }
            assert.are.equal(70, #tokens)
            assert.are.equal(70, stats.tokens)
            assert.are.equal(#TEXT, bytes)
            assert.are.equal(70, last)
            assert.are.equal(table.concat(tokens, "\n") .. "\n", fs.read(path))
            local tokenizer = Tokenizer.load(path, { do_lower_case = true })
            assert.are.equal(0, tokenizer.pad_id)
            for id = 0, 69 do assert.are.equal(tokens[id + 1], tokenizer:token(id)) end
            for _, id in ipairs(tokenizer:encode(TEXT)) do assert.are_not.equal(tokenizer.unk_id, id) end
            local joined = table.concat(tokenizer:tokenize "The Worst Café"):gsub("##", "")
            assert.are.equal("theworstcafe", joined)
        end)
    end)

    it("gives the same result for files in any order, and for an iterator", function()
        vocabulary.with_files(function(write)
            local a, b = write(TEXT), write "The owners of the café were the best owners, öfter than not.\n"
            local forth = trainer.train { files = { a, b }, vocab_size = 90 }
            local back = trainer.train { files = { b, a }, vocab_size = 90 }
            assert.are.same(forth, back)
            local from_text = trainer.train { iterator = once(fs.read(a) .. fs.read(b)), vocab_size = 90 }
            assert.are.same(forth, from_text)
        end)
    end)

    it("reads files in pieces without cutting a word", function()
        vocabulary.with_files(function(write)
            local line = "alpha beta gamma delta epsilon zeta eta theta\n"
            local count = math.ceil(5 * 1024 * 1024 / #line)
            local _, stats = trainer.train { files = { write(line:rep(count)) }, vocab_size = 100 }
            assert.are.equal(8 * count, stats.words)
            assert.are.equal(8, stats.distinct_words)
        end)
    end)

    it("takes pieces of its caller, and refuses bytes that are not text", function()
        vocabulary.with_files(function(write)
            local path = write(TEXT)
            local function pieces_of(name)
                assert.are.equal(path, name)
                local at = 0
                return function()
                    at = at + 7
                    local piece = TEXT:sub(at - 6, at)
                    if piece ~= "" then return piece, math.min(at, #TEXT) end
                end
            end
            local bytes = 0
            local tokens = trainer.train { files = { path }, pieces = pieces_of, vocab_size = 70,
                on_read = function(more) bytes = bytes + more end }
            assert.are.same(trainer.train { files = { path }, vocab_size = 70 }, tokens)
            assert.are.equal(#TEXT, bytes)
            local good, problem = pcall(trainer.train, { files = { write "fen\234tre and more\n" } })
            assert.is_true(not good and fault.is(problem))
            assert.is_truthy(tostring(problem):find("byte 3: invalid UTF-8 (0xea); convert the file", 1, true))
        end)
    end)

    it("finds text files below a folder, sorted", function()
        vocabulary.with_files(function(write, folder)
            write "x"
            assert(fs.mkdirs(folder .. "/sub"))
            assert(fs.write(folder .. "/sub/more.TXT", "y"))
            assert(fs.write(folder .. "/notes.md", "z"))
            assert.are.same({ folder .. "/file-1.txt", folder .. "/sub/more.TXT" }, trainer.find_files(folder))
            assert(fs.mkdirs(folder .. "/plain"))
            assert(fs.write(folder .. "/plain/a", "z"))
            assert.are.same({ folder .. "/plain/a" }, trainer.find_files(folder .. "/plain"))
            -- Links back to a folder, hidden folders, a folder to leave out.
            local link = require("posix.unistd").link
            assert(link(".", folder .. "/loop", true))
            assert(link("sub", folder .. "/twice", true))
            for _, name in ipairs { "/.hidden", "/out" } do
                assert(fs.mkdirs(folder .. name))
                assert(fs.write(folder .. name .. "/x.txt", "x"))
            end
            assert.are.same({ folder .. "/file-1.txt", folder .. "/sub/more.TXT" },
                (trainer.find_files(folder, folder .. "/plain/../out")))
        end)
    end)

    it("faults on missing folders and files, empty folders and empty text", function()
        local function message_of(call, ...)
            local ok, problem = pcall(call, ...)
            assert.is_false(ok)
            assert.is_true(fault.is(problem))
            return tostring(problem)
        end
        assert.is_truthy(message_of(trainer.find_files, "no/such"):find("no/such: no such folder", 1, true))
        assert.is_truthy(message_of(trainer.train, { files = { "no/file.txt" } }):find("no/file.txt", 1, true))
        assert.is_truthy(message_of(trainer.train, { iterator = once "" }):find("no words", 1, true))
        assert.is_truthy(message_of(trainer.train, { iterator = once "abc", vocab_size = 6 }):find("at least", 1, true))
        vocabulary.with_files(function(_, folder)
            assert.is_truthy(message_of(trainer.find_files, folder):find("contains no files", 1, true))
        end)
    end)

    it("blames the caller for wrong arguments", function()
        assert.has_error(function() trainer.train {} end,
            "vocab_trainer: neither files nor iterator given, expected one of them")
        assert.has_error(function() trainer.train { files = {}, vocab_size = "8000" } end,
            "vocab_trainer: vocab_size is string, expected a number")
    end)

    it("says which words a memory limit left out, and refuses a limit that is too low", function()
        assert.is_nil(trainer.rare_text { rare_distinct_words = 0 })
        local stats = { distinct_words = 9, words = 100, rare_distinct_words = 5, rare_words = 5, rare_count = 1 }
        assert.is_truthy(trainer.rare_text(stats):find("5 of 9 distinct words, which occur once (5.00 % of the text)",
            1, true))
        stats.rare_words, stats.rare_count = 9, 2
        assert.is_truthy(trainer.rare_text(stats):find("which occur at most 2 times (9.00 %", 1, true))
        local good, problem = pcall(trainer.train, { files = {}, memory_limit = 64 * 2 ^ 20, scratch_folder = "." })
        assert.is_false(good)
        assert.is_truthy(tostring(problem):find("memory_limit is 64 MiB, but learning a vocabulary needs at least "
            .. "77 MiB", 1, true), tostring(problem))
    end)

    it("has a line for words that become [UNK], were ignored, or are too few", function()
        local stats = { words = 1000, distinct_words = 90, uncovered_words = 45, alphabet = 20, characters = 25,
            rare_distinct_words = 0, tokens = 300 }
        local options = { vocab_size = 300, min_frequency = 2 }
        assert.are.same({ "45 words (4.500 %) have a character outside the alphabet of 20 of 25 characters and become "
            .. "[UNK]; a larger alphabet_limit keeps them" }, trainer.notes(stats, options))
        stats.uncovered_words, stats.tokens = 0, 299
        assert.are.same({ "the text yields only 299 tokens, not 300: no remaining pair occurs 2 times" },
            trainer.notes(stats, options))
        stats.tokens, stats.rare_distinct_words, stats.rare_count, stats.rare_words = 300, 9, 1, 9
        assert.are.same({ trainer.rare_text(stats) }, trainer.notes(stats, options))
    end)
end)
