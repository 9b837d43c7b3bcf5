--- embed.lua through the real executable: every form of output, every form of input, runs that are interrupted.

local Encoder = require "bertlua.encoder"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local npy = require "bertlua.weights.npy"
local process = require "spec.support.process"
local storage = require "bertlua.storage"
local tensor = require "bertlua.tensor"

local MODEL = "spec/fixtures/encoder/masked_lm"

describe("embed.lua", function()
    local folder, texts, expected

    setup(function()
        folder = assert(fs.temporary_folder "bertlua-embed-")
        texts = {}
        for i = 1, 23 do
            texts[i] = ("the cat%s on the %s %d"):format((" sat"):rep(i * 7 % 11), i % 2 == 0 and "mat" or "dog", i)
        end
        assert(fs.write(folder .. "/texts.txt", table.concat(texts, "\n") .. "\n"))
        local model = Encoder.load(MODEL)
        expected = model:embed(texts):tolist()
        model:close()
    end)
    teardown(function() assert(fs.remove(folder)) end)

    local function run(options, before, script)
        return process.run(("cd '%s' && %s '%s' '%s/%s' --threads 1 --checkpoint '%s/%s' %s"):format(folder,
            before or "", process.bertlua, process.root, script or "recipes/embed.lua", process.root, MODEL, options))
    end

    local function succeed(options, before)
        local output, code = run(options, before)
        assert.are.equal(0, code, output)
        return (output:gsub("\n%s+", " "))
    end

    local function refused(message, options, before)
        local output, code = run(options, before)
        assert.are.equal(1, code, output)
        assert.are.equal(1, select(2, output:gsub("bertlua: ", "")), output)
        assert.matches(message, output, 1, true)
    end

    local function same(vectors, factor)
        assert.are.equal(#expected, #vectors)
        for i, row in ipairs(expected) do
            for h, x in ipairs(row) do
                assert.is_true(math.abs(x - vectors[i][h]) <= (factor or 2e-6) * math.max(1, math.abs(x)))
            end
        end
    end

    local function of_lines(text)
        local list, their_texts = {}, {}
        for line in text:gmatch "{[^\n]*}" do
            local record = assert(json.decode(line))
            list[#list + 1], their_texts[#their_texts + 1] = record.embedding, record.text
        end
        return list, their_texts
    end

    it("writes the vectors of m:embed, the same in every form", function()
        assert.matches("a%.npy: 23 vectors of 16 numbers, f32", succeed "--input texts.txt --output a.npy")
        local vectors = npy.read(folder .. "/a.npy")
        same(vectors:tolist())
        succeed "--input texts.txt --output a.safetensors"
        local file, tensors = assert(storage.open(folder .. "/a.safetensors")), tensor.new("f32", { 23, 16 })
        assert(file:read("embeddings", tensors))
        file:close()
        assert.are.same(vectors:tolist(), tensors:tolist())
        succeed "--input texts.txt --output a.jsonl"
        local list, their_texts = of_lines(assert(fs.read(folder .. "/a.jsonl")))
        assert.are.same({ vectors:tolist(), texts }, { tensor.from(list):tolist(), their_texts })
        -- What comes through a pipe is packed otherwise, which may change the last bit.
        same((of_lines(succeed("", "cat texts.txt |"))))
        succeed "--input texts.txt --output half.npy --dtype f16"
        same(npy.read(folder .. "/half.npy"):tolist(), 1e-3)
        succeed "--input texts.txt --output unit.npy --normalize --pooling cls --chunk-size 10"
        for _, row in ipairs(npy.read(folder .. "/unit.npy"):tolist()) do
            local sum = 0
            for _, x in ipairs(row) do sum = sum + x * x end
            assert.is_true(math.abs(sum - 1) < 1e-5)
        end
    end)

    it("reads tables, JSON lines and compressed files, and writes where a link leads", function()
        local lines, table_lines = {}, { "id,body" }
        for i, text in ipairs(texts) do
            lines[i] = json.encode { n = i, body = text }
            table_lines[i + 1] = ('%d,"%s"'):format(i, text)
        end
        assert(fs.write(folder .. "/rows.jsonl", table.concat(lines, "\n") .. "\n"))
        assert(fs.write(folder .. "/rows.csv", table.concat(table_lines, "\r\n") .. "\r\n"))
        process.run(("cd '%s' && gzip -k rows.csv && mkdir -p there && touch there/v.npy && ln -s there/v.npy link.npy")
            :format(folder))
        for _, input in ipairs { "rows.jsonl", "rows.csv", "rows.csv.gz" } do
            succeed(("--input %s --text-column body --output link.npy"):format(input))
            same(npy.read(folder .. "/there/v.npy"):tolist())
        end
        assert.are.same({ "v.npy" }, fs.list(folder .. "/there"))
        -- What it tells is the name that the user gave, whether there is a file or not.
        for _ = 1, 2 do
            local output = succeed "--input rows.csv --text-column body --output named.npy"
            assert.matches("%f[%w/]named.npy: %d+ vectors of ", output)
        end
        refused('rows.csv:1: no column "text"; the header has "id", "body"', "--input rows.csv --output none.npy")
        assert.is_false(fs.exists(folder .. "/none.npy"))
    end)

    it("tells what was cut and what was replaced", function()
        local long = ("the cat sat "):rep(20)
        local output = succeed("--output cut.npy --invalid-utf8 replace",
            ("printf '%s\\na \\377\\n%s\\n' |"):format(long, long))
        assert.matches("standard input: 2 texts are longer than 24 tokens: the end is left out", output, 1, true)
        assert.matches("standard input: invalid UTF-8: 1 byte replaced by U+FFFD", output, 1, true)
    end)

    it("takes the file that it is given, not another one of its folder, and no table for a model", function()
        process.run(("cp -r '%s/%s' '%s/two'"):format(process.root, MODEL, folder))
        assert(fs.write(folder .. "/two/train.csv", "text\nthe cat\n"))
        assert(fs.copy(process.root .. "/spec/fixtures/bert_tiny.safetensors", folder .. "/two/other.safetensors"))
        local function embed(path)
            return process.run(("cd '%s' && echo the cat | '%s' '%s/recipes/embed.lua' --threads 1 --checkpoint %s")
                :format(folder, process.bertlua, process.root, path))
        end
        assert.matches("two/train.csv: a text, not a model: expected a folder with", embed "two/train.csv", 1, true)
        assert.matches("two/other.safetensors: no tensor", embed "two/other.safetensors", 1, true)
        assert.matches('^{"text":"the cat","embedding":', embed "two")
        assert.are.equal(embed "two", embed "two/model.safetensors")
    end)

    it("goes on after a run that was stopped, killed or had a wrong row, and makes the same bytes", function()
        local command = "--input in.txt --output v.npy --chunk-size 4"
        assert(fs.write(folder .. "/in.txt", (assert(fs.read(folder .. "/texts.txt")):gsub("\n[^\n]* 15\n", "\n \n"))))
        refused("in.txt:15: the text is empty; 12 vectors are in v.npy.part, and the same command goes on from there",
            command)
        assert.is_false(fs.exists(folder .. "/v.npy"))
        refused("was told otherwise (--pooling was mean, now it is cls)", command .. " --pooling cls")
        -- The row is mended: what was done is of the same texts.
        process.run(("cd '%s' && cp texts.txt in.txt"):format(folder))
        assert.matches("continues after 12 vectors of an interrupted run", succeed(command))
        local whole = assert(fs.read(folder .. "/v.npy"))
        assert(fs.remove(folder .. "/v.npy"))
        succeed(command)
        assert.are.equal(whole, fs.read(folder .. "/v.npy"))
        same(npy.read(folder .. "/v.npy"):tolist())

        -- Killed, or told to stop, as soon as two chunks are there.
        for signal, expected_code in pairs { SIGKILL = 137, SIGINT = 130, SIGTERM = 143 } do
            assert(fs.remove(folder .. "/v.npy"))
            local output, code = run(command, nil, "spec/support/embed_until.lua' 8 '" .. signal)
            assert.are.equal(expected_code, code, output)
            assert.is_false(fs.exists(folder .. "/v.npy"))
            assert.are.equal(signal == "SIGINT", output:find("bertlua: stopping; the chunks that are finished are kept"
                .. "; press Ctrl-C again to quit at once\n", 1, true) ~= nil, output)
            if signal ~= "SIGKILL" then
                assert.matches("interrupted by " .. signal .. "; 8 vectors are in ", output, 1, true)
            end
            assert.matches("continues after 8 vectors of an interrupted run", succeed(command))
            assert.are.equal(whole, fs.read(folder .. "/v.npy"))
        end
    end)

    it("stops where it waits for a line, at a terminal and in a pipe", function()
        local command = ("cd '%s' && '%s' '%s/recipes/embed.lua' --threads 1 --checkpoint '%s/%s' --output waits.npy")
            :format(folder, process.bertlua, process.root, process.root, MODEL)
        -- Nothing comes behind the signal before LATE does.
        local typed, status = process.run(("{ sleep 2; printf 'the cat\\n'; sleep 1; printf '\\003'; sleep 3; "
            .. "echo LATE >&2; } | timeout 30 script -qec %s /dev/null"):format(process.quote(command)))
        typed = typed:gsub("\r", ""):gsub("\n%s+", " ")
        assert.matches("bertlua: stopping; the chunks that are finished are kept; press Ctrl-C again", typed, 1, true)
        assert.matches("bertlua: interrupted by SIGINT; nothing was written to waits.npy\n.*LATE\n$", typed)
        assert.are.equal(130, status)
        local output, code = process.run(("{ echo the cat; sleep 6; echo LATE >&2; } | timeout --preserve-status "
            .. "-s TERM 3 sh -c %s"):format(process.quote((command:gsub(" && ", " && exec ")))))
        assert.matches("bertlua: interrupted by SIGTERM; nothing was written to waits.npy\n.*LATE\n$", output)
        assert.are.equal(143, code)
        assert.is_false(fs.exists(folder .. "/waits.npy"))
    end)

    it("does not go on where texts are no longer the same, or the input was a pipe", function()
        local command = "--input in.txt --output w.npy --chunk-size 4"
        local text = assert(fs.read(folder .. "/texts.txt"))
        assert(fs.write(folder .. "/in.txt", (text:gsub("\n[^\n]* 15\n", "\n \n"))))
        assert.are.equal(1, select(2, run(command)))
        assert(fs.write(folder .. "/in.txt", (text:gsub("cat", "dog", 1))))
        refused("in.txt: the texts of the 12 vectors in w.npy.part are no longer the same: --overwrite discards "
            .. "them and begins anew", command)
        assert.matches("12 vectors are of an interrupted run, and are discarded", succeed(command .. " --overwrite"))
        refused("standard input:2: the text is empty; nothing was written to p.npy",
            "--output p.npy --chunk-size 1", "printf 'a\\n\\nb\\n' |")
        assert.is_false(fs.exists(folder .. "/p.npy.part"))
    end)

    it("fails where standard output is closed, and its vectors would be lost", function()
        for _, script in ipairs { "recipes/embed.lua", "recipes/predict.lua' --task 'embeddings" } do
            local output, code = run("--input texts.txt >&-", nil, script)
            assert.are.equal(1, code, output)
            assert.matches("bertlua: standard output is closed: name a file with --output", output, 1, true)
        end
        succeed "--input texts.txt --output closed.npy >&-"
    end)

    it("refuses what cannot be", function()
        refused("out: its name does not say what to write: name it .npy, .safetensors or .jsonl, or give --format",
            "--input texts.txt --output out")
        refused("--format npy: the number of vectors stands at its beginning, which standard output cannot be told "
            .. "afterwards: name a file, or take --format jsonl", "--input texts.txt --format npy")
        refused("--dtype: JSON lines have numbers as text; leave it out",
            "--input texts.txt --output b.jsonl --dtype f16")
        refused("--output texts.txt is the same file as --input texts.txt: name another one",
            "--input texts.txt --output texts.txt --format jsonl")
        refused("standard input: nothing in it to embed; nothing was written", "--output b.npy", "printf '' |")
        assert.are.equal("bertlua: warning: standard input: nothing in it to embed\n", succeed("", "printf '' |"))
        refused("bertlua: --max-seq-length is 25, but ", "--input texts.txt --output b.npy --max-seq-length 25")
        assert.is_false(fs.exists(folder .. "/b.npy.part"))
    end)
end)
