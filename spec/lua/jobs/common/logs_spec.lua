--- What a run prints: within the columns of a terminal, early enough, and whole lines in files.

local fs = require "bertlua.util.fs"
local logs = require "bertlua.jobs.common.logs"
local pretraining = require "spec.support.pretraining"
local process = require "spec.support.process"
local task = require "bertlua.jobs.pretrain.task"
local term = require "bertlua.util.term"

local terminal_it = select(2, process.run "command -v script >/dev/null") == 0 and it or function(name)
    it(name, function() pending "no script: apt-get install bsdutils" end)
end

describe("a run", function()
    local job
    before_each(function() job = pretraining.new() end)
    after_each(function() job:close() end)

    local function options(changes)
        -- Long paths, as people have them.
        local all = { ["output-dir"] = job.dir .. "/a_folder_with_a_long_name", ["max-steps"] = 12, ["log-freq"] = 5,
            ["last-step-of-checkpoint"] = "auto", ["show-config"] = "true", ["weight-decay"] = "0.01" }
        for name, value in pairs(changes or {}) do all[name] = value end
        return all
    end

    --- What a terminal of 80 columns shows of a run: all lines and states of the bar.
    local function on_terminal(changes)
        local output, code = process.run(("TERM=xterm timeout 60 script -qec %s /dev/null"):format(
            process.quote("stty cols 80; " .. job:command("pretrain_phase1.lua", options(changes)))))
        assert.are.equal(0, code, output)
        local lines = {}
        for line in (output .. "\n"):gmatch "([^\r\n]*)[\r\n]+" do lines[#lines + 1] = line end
        return lines, table.concat(lines, "\n")
    end

    local function assert_fits(lines)
        for _, line in ipairs(lines) do
            -- A path alone may be longer than a line.
            assert.is_true(term.width(line) <= 80 or not line:match "%S %S", line)
        end
    end

    terminal_it("fits a terminal of 80 columns, and breaks no word", function()
        local lines, text = on_terminal()
        assert_fits(lines)
        assert.matches("\n          %S", text)
        -- Where lines break depends on the paths, and what lies above them.
        text = text:gsub("\n *", " ")
        for _, line in ipairs { "update    4 sequences: 4 x 1 micro%-steps; steps 1 to 12 of 12",
            "data +%S+/shards: 48 samples in 2 shards, 16 tokens long, packed",
            "note +no checkpoint in %S+/a_folder_with_a_long_name/custom/phase1 yet: starting",
            "checkpoint +%S+/a_folder_with_a_long_name/custom/phase1/12 " } do
            assert.matches(line, text)
        end
        -- Warnings, a resumed run, an interrupted table.
        lines, text = on_terminal { ["max-steps"] = 14, seed = 7, ["report-file"] = "/dev/full" }
        assert_fits(lines)
        assert.matches("\nreport     /dev/full, incomplete: see the warning", text)
        assert.matches("warning: seed was 42 in %S+/12 and is 7 now: the run will differ from one that never stopped ",
            (text:gsub("\n *", " ")))
        lines = on_terminal { benchmark = "true", ["benchmark-steps"] = 3, ["benchmark-warmup-steps"] = 1 }
        assert_fits(lines)
        lines, text = on_terminal { ["show-config"] = "all", ["max-steps"] = 14, seed = 7 }
        assert_fits(lines)
        assert.matches("\n  beta1 +0.9\n", text)
    end)

    terminal_it("shows its bar before the first step", function()
        local _, text = on_terminal()
        assert.matches("ETA\nphase1 [^\n]* 0%%  0/12 steps  0:00  ETA %-%-:%-%-\n", text)
    end)

    it("writes whole lines to a file, the first step's too, and warns of nothing", function()
        local code, output = job:run("pretrain_phase1.lua", options())
        assert.are.equal(0, code, output)
        assert.matches("\nnote      no checkpoint in %S+/a_folder_with_a_long_name/custom/phase1 yet: starting from "
            .. "step 1\n", output)
        assert.is_nil(output:find "warning")
        local steps = {}
        for step in output:gmatch "\n(%d+)/12 " do steps[#steps + 1] = tonumber(step) end
        assert.are.same({ 1, 5, 10, 12 }, steps)
        assert.matches("\nstep +loss[^\n]+ETA\n1/12 +5", output)
        -- For people only: the means of the next record are over five steps.
        local records = job:losses()
        assert.is_nil(records[1])
        assert.is_not_nil(records[5])
    end)

    it("lists the settings that are not at their defaults, or all", function()
        local _, output = job:run("pretrain_phase1.lua", options())
        assert.matches("\n  max_steps +12\n", output)
        assert.matches("\n  warmup_proportion +0.2843\n", output)
        -- Given, but the same.
        assert.is_nil(output:find("weight_decay", 1, true))
        assert.is_nil(output:find("beta1", 1, true))
        local others = tonumber(output:match
            "\n(%d+) other settings are at the default; %-%-show%-config all prints them too\n")
        local shown = select(2, output:match "^(.-)\nmachine":gsub("\n  %l[%w_]+ ", ""))
        assert.are.equal(#task.settings.list, others + shown)
        _, output = job:run("pretrain_phase1.lua", options { ["show-config"] = "all", ["max-steps"] = 13 })
        assert.are.equal(#task.settings.list, select(2, output:match "^(.-)\nmachine":gsub("\n  %l[%w_]+ ", "")))
        assert.is_nil(output:find("other settings", 1, true))
        -- The report has all of them in any case.
        assert.matches('"beta1":0.9', fs.read(job.dir .. "/report.json"))
    end)
end)

describe("the log of a long first step", function()
    local folder, time, lines
    before_each(function() folder, time, lines = assert(fs.temporary_folder()), 0, {} end)
    after_each(function() fs.remove(folder) end)

    local function open()
        local run = { first_step = 5, last_step = 900, max_steps = 1000, phase = "phase1", start = { kind = "fresh" } }
        local values = { report_file = folder .. "/report.json", tensorboard_dir = "none", log_freq = 10 }
        local log = logs.open({ run = run, task = task, results = task.results, values = values },
            { now = function() return time end })
        log.write = function(_, line) lines[#lines + 1] = line end
        return log
    end

    it("shows that it proceeds, once, and how long the run will take", function()
        local log = open()
        log:begin_training()
        assert.matches("^step +loss +mlm +nsp +lr .*ETA$", lines[1])
        for done = 1, 32 do
            time = time + 1
            log:micro_step(5, done, 32)
        end
        assert.are.same({ "step 5: 4 of 32 micro-steps after 4 s",
            "this run will take about 7 h 58 min: 896 steps at 32 s each" }, { unpack(lines, 2) })
        log:step(5, { loss = 7, mlm_loss = 6, nsp_loss = 1, learning_rate = 1e-3, sequences = 64, tokens = 320,
            seconds = 32 }, { grad_norm = 2, loss_scale = 1 })
        assert.matches("^5/1000 +7.000  6.000  1.000 1.00e%-03      2     1      2     10    %-%-:%-%-$", lines[4])
        for step = 6, 12 do
            time = time + 32
            log:micro_step(step, 1, 32)
            log:step(step, { seconds = 32 }, {})
        end
        assert.are.equal(4, #lines)
        log:close()
    end)
end)
