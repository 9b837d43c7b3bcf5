--- predict.lua and evaluate.lua through the real executable, on models that were just trained.

local classify = require "spec.support.classify"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local process = require "spec.support.process"
local tokens = require "spec.support.tokens"

local BINARY = require("spec.support.job").BINARY
local MASKED = "spec/fixtures/encoder/masked_lm"

--- Records of JSON lines.
local function records_of(text)
    local list = {}
    for line in text:gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line)) end
    return list
end

describe("prediction", function()
    local job, tagging

    setup(function()
        job, tagging = classify.new(), tokens.new()
        for _, one in ipairs { job, tagging } do
            local code, output = one:run {}
            assert.are.equal(0, code, output)
        end
    end)
    teardown(function()
        job:close()
        tagging:close()
    end)

    --- Run a recipe; returns what it printed and its exit code.
    local function run(recipe, options, before)
        local output, code = process.run(("%s '%s' recipes/%s.lua --threads 1 %s"):format(before or "",
            BINARY, recipe, options))
        return output, code
    end

    local function predict(options, before)
        local output, code = run("predict", options, before)
        assert.are.equal(0, code, output)
        return output
    end

    local function refused(message, recipe, options, before)
        local output, code = run(recipe, options, before)
        assert.are.equal(1, code, output)
        assert.are.equal(1, select(2, output:gsub("bertlua: ", "")), output)
        assert.matches(message, output, 1, true)
    end

    --- The largest difference between lists of numbers.
    local function distance(a, b)
        local worst = 0
        for i, x in ipairs(a) do worst = math.max(worst, math.abs(x - b[i])) end
        return worst
    end

    it("tells the checkpoint that it takes where a run's model is gone", function()
        local model = job.out .. "/model/model.safetensors"
        local before = predict(("--checkpoint %s"):format(job.out), "echo w7 |")
        assert(fs.rename(model, model .. ".gone"))
        finally(function() assert(fs.rename(model .. ".gone", model)) end)
        local line, after = predict(("--checkpoint %s"):format(job.out), "echo w7 |"):match "^(bertlua: [^{]*)(.*)$"
        assert.matches(("bertlua: warning: %s/model holds no parameters; taking the checkpoint %s/checkpoints/"):format(
            job.out, job.out), line:gsub("\n%s*", " "), 1, true)
        -- The last checkpoint is the model.
        assert.are.equal(before, after)
    end)

    it("says of each row what training said, whatever form it has", function()
        local trained = records_of(fs.read(job.out .. "/predictions.jsonl"))
        local texts = {}
        for i, record in ipairs(trained) do texts[i] = record.text end
        assert(fs.write(job.dir .. "/texts.txt", table.concat(texts, "\n") .. "\n"))
        local from_file = predict(("--checkpoint %s --input %s"):format(job.out, job.dev))
        local list = records_of(from_file)
        assert.are.equal(#trained, #list)
        for i, record in ipairs(list) do
            assert.are.equal(trained[i].label, record.label)
            assert.is_true(math.abs(trained[i].score - record.score) < 1e-6)
        end
        for _, input in ipairs { job.dir .. "/texts.txt", job.out .. "/predictions.jsonl" } do
            assert.are.equal(from_file, predict(("--checkpoint %s/model --input %s --batch-size 3"):format(job.out,
                input)))
        end
        assert.are.equal(from_file, predict(("--checkpoint %s/checkpoints"):format(job.out),
            ("cat %s/texts.txt |"):format(job.dir)))
        local columns = predict(("--checkpoint %s --input %s --format tsv"):format(job.out, job.dev))
        assert.are.equal(("%s\t%s"):format(list[1].label, list[1].score), columns:match "^[^\n]+")
        local top = records_of(predict(("--checkpoint %s --input %s --top-k 2"):format(job.out, job.dev)))[1].top
        assert.are.same({ 2, list[1].label }, { #top, top[1].label })
    end)

    it("tags words", function()
        local trained = records_of(fs.read(tagging.out .. "/predictions.jsonl"))
        local list = records_of(predict(("--checkpoint %s --input %s"):format(tagging.out, tagging.dev)))
        assert.are.equal(#trained, #list)
        for i, record in ipairs(list) do
            assert.are.same({ trained[i].words, trained[i].tags }, { record.words, record.tags })
            assert.is_true(distance(trained[i].scores, record.scores) < 1e-6)
        end
        local words = table.concat(trained[1].words, " ")
        local alone = records_of(predict("--checkpoint " .. tagging.out, ("echo '%s' |"):format(words)))[1]
        assert.are.same({ list[1].words, list[1].tags }, { alone.words, alone.tags })
        -- Sums in another order, in a batch of another size.
        assert.is_true(distance(list[1].scores, alone.scores) < 1e-6)
        assert.matches("^" .. trained[1].words[1] .. "\t" .. trained[1].tags[1] .. "\t[%d.]+\n.*\n\n",
            predict(("--checkpoint %s --input %s --format tsv"):format(tagging.out, tagging.dev)))
    end)

    it("answers in a pipe that stays open, and stops quietly where nobody reads", function()
        -- The second text is written only once the first has its answer.
        local script = ("set -e; mkfifo %s/in; '%s' recipes/predict.lua --threads 1 --checkpoint %s < %s/in | "
            .. "{ exec 3> %s/in; echo w6 >&3; read -r -t 60 one; echo w7 >&3; read -r -t 60 two; exec 3>&-; "
            .. "echo \"$one $two\"; }"):format(job.dir, BINARY, job.out, job.dir, job.dir)
        local output, code = process.run("timeout 180 bash -c " .. process.quote(script))
        assert.are.equal(0, code, output)
        assert.matches('^{"label":"label %d","score":[%d.]+} {"label":"label %d","score":[%d.]+}\n$', output)
        output = process.run(("yes w6 | head -n 3000 | '%s' recipes/predict.lua --threads 1 --checkpoint %s | "
            .. "head -n 1"):format(BINARY, job.out))
        assert.matches("^{[^\n]*}\n$", output)
    end)

    it("fills masks and embeds texts", function()
        local list = records_of(predict("--top-k 2 --checkpoint " .. MASKED, "echo 'The [MASK] sat on [MASK].' |"))
        assert.are.same({ 2, 2, 2, list[1].tokens[2] }, { #list[1].tokens, #list[1].scores, #list[1].top,
            list[1].top[2][1].token })
        list = records_of(predict("--task embeddings --checkpoint " .. MASKED, "printf 'a dog\\nthe cat sat\\n' |"))
        assert.are.same({ 2, 16 }, { #list, #list[1].embedding })
        refused("standard input:1: fill_mask: \"a dog\" has no [MASK]", "predict", "--checkpoint " .. MASKED,
            "echo 'a dog' |")
    end)

    it("writes a whole file or none, and names the row that is wrong", function()
        local out = job.dir .. "/out.jsonl"
        local output = predict(("--checkpoint %s --input %s --output %s"):format(job.out, job.dev, out))
        assert.matches("predict .* 21/21 lines", output)
        assert.are.equal(20, #records_of(fs.read(out)))
        refused("standard input:2: the text is empty; nothing was written to " .. job.dir .. "/none", "predict",
            ("--checkpoint %s --output %s/none"):format(job.out, job.dir), "printf 'w6\\n\\nw7\\n' |")
        assert.is_false(fs.exists(job.dir .. "/none"))
        -- What came before the row is there for who reads along.
        output = run("predict", "--checkpoint " .. job.out, "printf 'w6\\n\\nw7\\n' |")
        assert.matches('{"label"', output, 1, true)
        for recipe, name in pairs { predict = "input", evaluate = "gold" } do
            refused(("--output %s is the same file as --%s %s: name another one"):format(job.dev, name, job.dev),
                recipe, ("--checkpoint %s --%s %s --output %s"):format(job.out, name, job.dev, job.dev))
        end
        assert(fs.write(job.dir .. "/-", "a file of this name\n"))
        assert.matches('^{"label"', predict("--checkpoint " .. job.out, ("cd %s && printf 'w6\\n' |"):format(job.dir)))
        -- In a pipe nothing in is nothing out.
        assert.are.equal("bertlua: warning: standard input: nothing in it to predict\n",
            predict("--checkpoint " .. job.out, "printf '' |"))
        local none = job.dir .. "/none"
        assert(fs.write(none, ""))
        refused("none: nothing in it to predict", "predict", ("--checkpoint %s --input %s"):format(job.out, none))
        refused("standard input: nothing in it to predict; nothing was written to ", "predict",
            ("--checkpoint %s --output %s.jsonl"):format(job.out, none), "printf '' |")
        for _, text in ipairs { "", "\n \n" } do
            local said, status = run("fill_mask", "--checkpoint " .. MASKED, ("printf '%s' |"):format(text))
            assert.are.same({ "bertlua: warning: standard input: no text in it\n", 0 }, { said, status })
        end
        refused('dev.csv:1: no column "words"; the header has "text", "label", "weight"', "predict",
            ("--checkpoint %s --input %s --text-column words"):format(job.out, job.dev))
        refused("--task tags: " .. job.out .. "/model has no head for it", "predict",
            ("--checkpoint %s --task tags"):format(job.out))
        output = predict("--checkpoint " .. job.out, "yes w6 | head -n 40 | tr '\\n' ' ' |")
        output = output:gsub("\n%s*", " ")
        assert.matches("standard input: 1 text is longer than 16 tokens: the end is left out", output, 1, true)
    end)

    --- Numbers of a table that are in another, and equal.
    local function same_figures(expected, got)
        for name, value in pairs(expected) do
            if type(value) == "number" then assert.is_true(math.abs(value - got[name]) < 1e-12, name) end
        end
    end

    it("is measured with the figures of training, from a file or by the model", function()
        for _, case in ipairs { { job, 20 }, { tagging, 20 } } do
            local one, count = case[1], case[2]
            local expected = assert(json.read(one.out .. "/eval.json")).dev
            local sources = { "--checkpoint " .. one.out, ("--predictions %s/predictions.jsonl"):format(one.out) }
            for i, from in ipairs(sources) do
                local file = ("%s/eval%d.json"):format(one.dir, i)
                local output, code = run("evaluate", ("%s --gold %s --output %s"):format(from, one.dev, file))
                assert.are.equal(0, code, output)
                local got = assert(json.read(file))
                same_figures(expected, got)
                assert.are.equal(count, got.rows)
                assert.matches(("accuracy         %.2f %%"):format(100 * expected.accuracy), output, 1, true)
                assert.matches("confusion: gold down, predicted across", output, 1, true)
            end
        end
        same_figures(assert(json.read(tagging.out .. "/eval.json")).dev.types.PER,
            assert(json.read(tagging.dir .. "/eval1.json")).types.PER)
    end)

    it("shows the worst rows whole in a pipe, and cut at the width of a terminal", function()
        local text = ("some words "):rep(20) .. "end"
        assert(fs.write(job.dir .. "/long.csv", ("text,label\nw,a\n%s,a\n"):format(text)))
        assert(fs.write(job.dir .. "/long.jsonl", '{"label":"a","score":0.9}\n{"label":"b","score":0.8}\n'))
        local options = ("--gold %s/long.csv --predictions %s/long.jsonl --worst 1"):format(job.dir, job.dir)
        local output, code = run("evaluate", options, "COLUMNS=70")
        assert.are.equal(0, code, output)
        assert.matches("\nline 3       80.0 %  a as b\n            " .. text .. "\n", output, 1, true)
        output = process.run(("TERM=xterm script -qec \"COLUMNS=70 '%s' recipes/evaluate.lua %s\" /dev/null"):format(
            BINARY, options)):gsub("\r", "")
        assert.matches("\nline 3       80.0 %  a as b\n            " .. text:sub(1, 58) .. "\n", output, 1, true)
    end)

    it("of pairs by embeddings is measured by their order", function()
        assert(fs.write(job.dir .. "/pairs.csv", "a dog,a dog,5\na dog,the cat sat,1\ngood film,bad film,3\n"))
        local output, code = run("evaluate", ("--checkpoint %s --task embeddings --gold %s/pairs.csv --text-column 1 "
            .. "--pair-column 2 --label-column 3"):format(MASKED, job.dir))
        assert.are.equal(0, code, output)
        assert.matches("Spearman +%-?[%d.]+\n", output)
        assert.is_nil(output:find "squared")
    end)

    it("refuses settings that the model has no use for", function()
        local one = "for models of several labels a text, but " .. job.out .. " gives a text one label: leave it out"
        for options, message in pairs {
            ["--threshold 0.9"] = "--threshold is " .. one,
            ["--pooling cls"] = "--pooling is for embeddings, but " .. job.out .. " gives a text one label: leave",
            ["--no-normalize"] = "--normalize is for embeddings, but ",
            ["--doc-stride 4"] = "--doc-stride is for tags and answers, but ",
            ["--task embeddings --threshold 0.5"] = "several labels a text, but " .. job.out .. " makes embeddings",
            ["--task embeddings --top-k 2"] = "--top-k is for labels, answers and masked words, but ",
        } do refused(message, "predict", ("--checkpoint %s %s"):format(job.out, options), "echo w6 |") end
        for options, message in pairs {
            ["--top-k 2"] = "--top-k is for labels, answers and masked words, but " .. tagging.out .. " tags words",
            ["--pair-column other"] = "--pair-column is for labels, numbers, embeddings and answers, but ",
        } do refused(message, "predict", ("--checkpoint %s %s"):format(tagging.out, options), "echo w6 |") end
        predict(("--checkpoint %s --doc-stride 4"):format(tagging.out), "echo w6 |")
        refused("--top-k is for labels, answers and masked words, but " .. job.dir .. "/number gives a text numbers",
            "predict", ("--checkpoint %s/number --top-k 2"):format(job.dir),
            ("cp -r %s/model %s/number && rm %s/number/checksums.json && "
            .. "sed -i 's/single_label_classification/regression/' %s/number/config.json && echo w6 |"):format(
                job.out, job.dir, job.dir, job.dir))
        refused("--label-separator is " .. one, "evaluate", ("--checkpoint %s --gold %s --label-separator ,"):format(
            job.out, job.dev))
        local file = job.out .. "/predictions.jsonl"
        for option, message in pairs {
            ["--label-separator ,"] = "--label-separator is for models of several labels a text, but " .. file,
            ["--batch-size 4"] = "--batch-size is for --checkpoint, but --predictions " .. file .. " runs no model",
        } do refused(message, "evaluate", ("--predictions %s --gold %s %s"):format(file, job.dev, option)) end
    end)

    it("is refused where gold and predictions do not fit", function()
        refused("give either --predictions or --checkpoint", "evaluate", "--gold " .. job.dev)
        refused("predictions.jsonl: 20 predictions, but " .. job.train .. " has 48: are they of the same file?",
            "evaluate", ("--predictions %s/predictions.jsonl --gold %s"):format(job.out, job.train))
        assert(fs.write(job.dir .. "/odd.jsonl", '{"label": "a"}\n{"score": 1}\n'))
        refused("odd.jsonl:2: no prediction: expected a JSON object with label, labels, value or tags", "evaluate",
            ("--predictions %s/odd.jsonl --gold %s"):format(job.dir, job.dev))
        refused("`bertlua evaluate_pretraining` measures masked words", "evaluate",
            ("--checkpoint %s --gold %s"):format(MASKED, job.dev))
    end)
end)
