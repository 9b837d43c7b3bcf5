--- Files that a user names for output, in a folder that is missing.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local named_file = require "bertlua.util.named_file"
local process = require "spec.support.process"

describe("a named file", function()
    local dir
    before_each(function() dir = assert(fs.temporary_folder "bertlua-named") end)
    after_each(function() assert(fs.remove(dir)) end)

    it("goes to a folder that is there, or that the program makes", function()
        named_file.check("--output", nil)
        named_file.check("--output", "-")
        named_file.check("--output", "new.json")
        named_file.check("--output", dir .. "/new.json")
        for _, path in ipairs { "/run/new.json", "/run/logs/new.json" } do
            named_file.check("--output", dir .. path, dir .. "/run")
        end
        process.run(("ln -s %s %s/link"):format(dir, dir))
        for _, path in ipairs { "/./run/new.json", "//run/new.json", "/link/run/a/new.json" } do
            named_file.check("--output", dir .. path, dir .. "/run/.")
            named_file.check("--output", dir .. path, dir .. "/link//run/")
        end
        named_file.check("--output", "bertlua-none/new.json", "./bertlua-none")
        named_file.check("--output", "./bertlua-none/a/new.json", "bertlua-none/")
        assert.is_false((pcall(named_file.check, "--output", dir .. "/run/../else/new.json", dir .. "/run")))
        assert.is_false((pcall(named_file.check, "--output", dir .. "/else/new.json", dir .. "/else/run")))
        for _, path in ipairs { "/run/new.json", "/runs/new.json", "/run2/logs/new.json" } do
            local made = path ~= "/run/new.json" and dir .. "/run" or nil
            local ok, problem = pcall(named_file.check, "--output", dir .. path, made)
            assert.is_false(ok)
            assert.are.equal(dir .. path .. ": cannot write: there is no such folder: make it, or correct --output",
                fault.message(problem))
        end
    end)

    it("is not standard output where that holds something else", function()
        local ok, problem = pcall(named_file.check_file, "--report-file", "-")
        assert.is_false(ok)
        assert.are.equal("--report-file -: expected a file, not standard output; ./- is one of that name",
            fault.message(problem))
        named_file.check_file("--report-file", "./-")
        for _, command in ipairs {
            "finetune_classify --train-file t.csv --bert-model custom --show-config false --report-file -",
            "train_vocab --input-files text.txt --output-file -",
        } do
            local output, code = process.run_bertlua(command)
            assert.are.equal(1, code)
            assert.matches("file %-: expected a file, not standard output", output)
        end
    end)

    it("is refused in the same line by every program, before anything is written or opened", function()
        assert(fs.write(dir .. "/train.csv", "text,label\none,a\ntwo,b\n"))
        assert(fs.write(dir .. "/text.txt", "Some words.\n"))
        local train = "finetune_classify --train-file train.csv --show-config false --threads 1 "
        local cases = {
            { train .. "--report-file no/r.json", "no/r.json", "--report-file" },
            { train .. "--trace-file no/t.json", "no/t.json", "--trace-file" },
            { "pretrain_phase1 --show-config false --threads 1 --input-dir . --report-file no/r.json", "no/r.json",
                "--report-file" },
            { "predict --checkpoint nowhere --output no/p.jsonl", "no/p.jsonl", "--output" },
            { "embed --checkpoint nowhere --input text.txt --output no/v.npy", "no/v.npy", "--output" },
            { "evaluate --checkpoint nowhere --gold train.csv --output no/e.json", "no/e.json", "--output" },
            { "train_vocab --input-files text.txt --output-file no/vocab.txt", "no/vocab.txt", "--output-file" },
        }
        if pcall(require, "http.server") then
            cases[#cases + 1] = { "serve --checkpoint nowhere --access-log no/log", "no/log", "--access-log" }
        end
        local before = fs.list(dir)
        for _, case in ipairs(cases) do
            local output, code = process.run(("cd %s && %s %s < /dev/null"):format(process.quote(dir),
                process.quote(process.bertlua), case[1]))
            assert.are.equal(("bertlua: %s: cannot write: there is no such folder: make it, or correct %s\n"):format(
                case[2], case[3]), output, case[1])
            assert.are.equal(1, code)
            assert.are.same(before, fs.list(dir))
        end
    end)

    it("may lie in the run's own folder before the first run has made it", function()
        local job = require("spec.support.classify").new()
        job:succeed { ["max-steps"] = 1, ["output-dir"] = job.dir .. "/new/",
            ["report-file"] = job.dir .. "/new/logs/r.json" }
        assert.matches("^DLLL ", fs.read(job.dir .. "/new/logs/r.json"))
        job:close()
    end)
end)
