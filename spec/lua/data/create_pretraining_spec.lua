--- From text to shards: structure, determinism, processes, messages.

local create = require "bertlua.data.create_pretraining"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local loader = require "bertlua.data.loader"
local random = require "bertlua.rng"
local shards = require "spec.support.shards"

local WORDS = 2000

--- Text of documents; the words of document d begin with "d<d>x".
local function make_text(documents, seed)
    local rng = random.new(seed)
    local lines = {}
    for d = 1, documents do
        for _ = 1, rng:integer(3, 14) do
            local words = {}
            for w = 1, rng:integer(2, 18) do words[w] = ("d%dx%d"):format(d, rng:integer(1, 500)) end
            lines[#lines + 1] = table.concat(words, " ")
        end
        lines[#lines + 1] = ""
    end
    return table.concat(lines, "\n") .. "\n"
end

describe("create_pretraining", function()
    local folder, text_dir

    setup(function()
        folder = assert(fs.temporary_folder("create_spec"))
        text_dir = folder .. "/text"
        assert(fs.mkdirs(text_dir))
        for i = 1, 3 do assert(fs.write(("%s/%d.txt"):format(text_dir, i), make_text(25, i))) end
        assert(fs.write(text_dir .. "/notes.md", "not text for training"))
    end)

    teardown(function()
        fs.remove(folder)
    end)

    local function run(name, change)
        local options = {
            input_dir = text_dir, output_dir = folder .. "/" .. name, tokenizer = shards.tokenizer(WORDS),
            max_seq_length = 64, max_predictions_per_seq = 9, dupe_factor = 3, shards = 5,
        }
        for key, value in pairs(change or {}) do options[key] = value or nil end
        return create.run(options), options.output_dir
    end

    local function bytes_of(dir)
        local all = {}
        for _, name in ipairs(fs.list(dir)) do all[name] = fs.read(dir .. "/" .. name) end
        return all
    end

    local function message(change)
        local good, problem = pcall(run, "fail", change)
        assert.is_false(good)
        assert.is_true(fault.is(problem), tostring(problem))
        assert.is_nil(tostring(problem):find("\n", 1, true))
        return tostring(problem)
    end

    it("refuses bytes that are not text, and says where", function()
        local path = folder .. "/latin.txt"
        assert(fs.write(path, "fen\234tre and more\n"))
        assert.are.equal(path .. ": byte 3: invalid UTF-8 (0xea); convert the file (iconv -t UTF-8)",
            message { input_files = { path }, input_dir = false })
        assert(fs.write(path, "\255\254a\0"))
        assert.are.equal(path .. ": UTF-16LE, expected UTF-8 text",
            message { input_files = { path }, input_dir = false })
    end)

    it("writes [CLS] A [SEP] B [SEP] with segments, masks and labels", function()
        local summary, dir = run("plain")
        assert.are.equal(75, summary.documents)
        assert.are.equal(5, summary.shards)
        local samples, randoms = 0, 0
        for i = 0, 4 do
            local shard = assert(data.read_shard(("%s/corpus_training_%d.hdf5"):format(dir, i),
                { max_seq_length = 64, max_predictions_per_seq = 9, vocab_size = WORDS + 5, type_vocab_size = 2 }))
            samples = samples + shard.samples
            for n = 0, shard.samples - 1 do
                local row = shard:row(n)
                local ids, types = row.input_ids, row.segment_ids
                local separators = {}
                assert.are.equal(2, ids[1])
                for at = 2, row.length do if ids[at] == 3 then separators[#separators + 1] = at end end
                -- A random replacement may be a third [SEP]; the structural two are never replaced.
                assert.are.equal(row.length, separators[#separators])
                local second
                for at = 1, 64 do
                    if not second and types[at] == 1 then second = at end
                    assert.are.equal(second and at <= row.length and 1 or 0, types[at])
                    if at > row.length then assert.are.equal(0, ids[at]) end
                end
                assert.are.equal(3, ids[second - 1])
                assert.is_true(second >= 4 and second < row.length)
                -- Half to even, as the masking itself is specified in spec/engine/data/loader_spec.lua.
                local share = row.length * 0.15
                local rounded = math.floor(share + 0.5)
                if share % 1 == 0.5 and rounded % 2 == 1 then rounded = rounded - 1 end
                assert.are.equal(math.min(9, math.max(1, rounded)), row.masked)
                for k = 1, row.masked do
                    local at = row.masked_lm_positions[k] + 1
                    assert.is_true(at > 1 and at ~= second - 1 and at < row.length)
                    assert.is_true(row.masked_lm_ids[k] >= 5)
                    assert.is_true(k == 1 or row.masked_lm_positions[k] > row.masked_lm_positions[k - 1])
                end
                randoms = randoms + row.next_sentence_label
            end
        end
        assert.are.equal(summary.instances, samples)
        assert.is_true(randoms > 0.4 * samples and randoms < 0.8 * samples)
    end)

    it("gives the same files for any number of processes", function()
        local summary, dir = run("one", { num_workers = 1 })
        local one = bytes_of(dir)
        for workers = 2, 3 do
            local other, other_dir = run("w" .. workers, { num_workers = workers })
            assert.are.same(summary, other)
            local files = bytes_of(other_dir)
            for name, bytes in pairs(one) do assert.is_true(bytes == files[name], name) end
            assert.are.equal(5, #fs.list(other_dir))
        end
    end)

    it("changes with the seed and masks the passes differently", function()
        local _, a = run("seed_a", { random_seed = 1 })
        local _, b = run("seed_b", { random_seed = 2 })
        assert.are_not.equal(fs.read(a .. "/corpus_training_0.hdf5"), fs.read(b .. "/corpus_training_0.hdf5"))
    end)

    it("puts every document into one shard only, training or test", function()
        local summary, dir = run("split", { test_share = 0.3, shards = 6, prefix = "wiki" })
        assert.are.equal(2, summary.test_shards)
        local names = fs.list(dir)
        assert.are.same({ "wiki_test_0.hdf5", "wiki_test_1.hdf5", "wiki_training_0.hdf5", "wiki_training_1.hdf5",
            "wiki_training_2.hdf5", "wiki_training_3.hdf5" }, names)
        local training = loader.open { input_dir = dir, batch_size = 2 }
        local test = loader.open { input_dir = dir, batch_size = 2, split = "test" }
        assert.are.equal(summary.instances, training.samples + test.samples)
        assert.are.equal(4, training.shards)
        assert.are.equal(2, test.shards)
    end)

    it("deals documents evenly and completely", function()
        local document_files = require "bertlua.data.document_files"
        local documents = document_files.scan { text_dir .. "/1.txt", text_dir .. "/2.txt", text_dir .. "/3.txt" }
        assert.are.equal(75, documents:count())
        for _, count in ipairs { 1, 2, 7, 75 } do
            local plan, order = document_files.deal(documents, count, 3)
            local seen, next_first = {}, 0
            for _, part in ipairs(plan) do
                assert.are.equal(next_first, part.first)
                assert.is_true(part.last >= part.first)
                local bytes = 0
                for i = part.first, part.last do
                    seen[tonumber(order[i])] = true
                    bytes = bytes + select(3, documents:get(order[i]))
                end
                if count <= 7 then
                    local fair = documents.bytes / count
                    assert.is_true(math.abs(bytes - fair) < 0.35 * fair, bytes .. " of " .. fair)
                end
                next_first = part.last + 1
            end
            local found = 0
            for _ in pairs(seen) do found = found + 1 end
            assert.are.equal(75, found)
        end
    end)

    it("reports its progress, up to the last byte", function()
        for workers = 1, 2 do
            local done, total = 0, nil
            local summary = run("progress" .. workers, {
                num_workers = workers,
                on_progress = function(more, all) done, total = done + more, all end,
            })
            if workers == 1 then
                assert.are.equal(summary.bytes, done)
                assert.are.equal(done, total)
            end
            assert.is_true(done <= summary.bytes)
        end
    end)

    it("ends the job with the worker's message when a worker fails", function()
        local tokenizer = shards.tokenizer(WORDS)
        local encode = tokenizer.encode_array
        function tokenizer.encode_array(self, text)
            if text:find("d9x", 1, true) then fault.raise("bad line in the text") end
            return encode(self, text)
        end
        assert.are.equal("bad line in the text", message { tokenizer = tokenizer, num_workers = 3, overwrite = true })
        assert.are.equal("bad line in the text", message { tokenizer = tokenizer, num_workers = 1, overwrite = true })
        assert.are.same({}, fs.list(folder .. "/fail"))
    end)

    it("ends the job when a worker is killed", function()
        local tokenizer = shards.tokenizer(WORDS)
        local encode = tokenizer.encode_array
        local parent = require("posix.unistd").getpid()
        function tokenizer.encode_array(self, text)
            if text:find("d9x", 1, true) and require("posix.unistd").getpid() ~= parent then
                require("posix.signal").kill(require("posix.unistd").getpid(), 9)
            end
            return encode(self, text)
        end
        local text = message { tokenizer = tokenizer, num_workers = 2, overwrite = true }
        assert.is_truthy(text:find("^worker %d was killed by signal 9 %(out of memory"), text)
        assert.are.same({}, fs.list(folder .. "/fail"))
    end)

    describe("says in one line", function()
        local cases = {
            { "that no text was given", "no text given: set input_dir", { input_dir = false } },
            { "that both kinds of text were given", "input_dir and input_files are both set",
                { input_files = "a.txt" } },
            { "that the folder is missing", "none: no such folder", { input_dir = "/tmp/none/none" } },
            { "that a file is missing", "/tmp/none/a.txt: cannot open: no such file",
                { input_dir = false, input_files = "/tmp/none/a.txt" } },
            { "that there are too few documents", "80 shards of 75 documents: set shards to at most 75",
                { shards = 80 } },
            { "that nothing is left to train on", "leaves none to train on", { shards = 1, test_share = 0.5 } },
            { "that more is to be masked than there are tokens", "max_predictions_per_seq 65 exceeds max_seq_length 64",
                { max_predictions_per_seq = 65 } },
            { "that there is no vocabulary", "vocab_file is not set", { tokenizer = false } },
        }
        for _, case in ipairs(cases) do
            it(case[1], function()
                local change = {}
                for key, value in pairs(case[3]) do change[key] = value end
                local text = message(change)
                assert.is_truthy(text:find(case[2], 1, true), text)
            end)
        end

        it("that the folder has no text", function()
            local empty = folder .. "/blank"
            assert(fs.mkdirs(empty))
            assert.is_truthy(message({ input_dir = empty }):find("contains no text (no *.txt among 0", 1, true))
            assert(fs.write(empty .. "/a.txt", "\n \n\t\n"))
            assert.is_truthy(message({ input_dir = empty }):find("contains no documents", 1, true))
        end)

        it("that there are older shards, and replaces them on request", function()
            run("twice", { shards = 6 })
            local text = message { output_dir = folder .. "/twice" }
            assert.is_truthy(text:find("already contains shards with prefix corpus (6, such as corpus_training_0.hdf5)",
                1, true), text)
            run("twice", { shards = 2, overwrite = true })
            assert.are.equal(2, #fs.list(folder .. "/twice"))
        end)
    end)

    it("counts shards of a single document", function()
        local lone = folder .. "/lone"
        assert(fs.mkdirs(lone))
        assert(fs.write(lone .. "/a.txt", "one two three\nfour five six\n"))
        local summary = run("lone_out", { input_dir = lone, shards = 0 })
        assert.are.equal(1, summary.single)
        assert.are.equal(1, summary.shards)
    end)
end)
