--- The training loop on a model of one number: order of calls, accumulation, logs, checkpoints, signals, faults.

local Trainer = require "bertlua.train.trainer"
local fault = require "bertlua.fault"
local tensor = require "bertlua.tensor"

local function scalar(x)
    return tensor.from { x }
end

--- A trainer of fakes; `calls` records what it did.
local function rig(changes)
    local calls = {}
    local function note(...) calls[#calls + 1] = table.concat({ ... }, " ") end
    local time = 0
    local state = { loss_of = function(n) return n end, overflow = false }
    local parts = {
        accumulation = 1, first_step = 1, last_step = 4, log_freq = 2,
        results = { "loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy" },
        now = function() return time end,
        loader = { batch = function(_, n)
            note("batch", n)
            time = time + 1
            state.n = n
            return { batch_size = 3, tokens = 10 }
        end },
        tape = {
            set_step = function(_, step, micro) note("start", step, micro) end,
            reset = function(_, training) note("reset", tostring(training)) end,
            backward = function(_, loss, scale, _, fresh)
                note(fresh and "write" or "add", loss.value:item(), scale)
            end,
        },
        model = { forward = function()
            local loss = state.loss_of(state.n)
            return { loss = { value = scalar(loss) }, mlm_loss = scalar(loss), nsp_loss = scalar(0),
                mlm_accuracy = scalar(0.5), nsp_accuracy = scalar(1) }
        end },
        optimizer = {
            loss_scale_tensor = "scale", scalars = tensor.new("f32", { 8 }),
            store = { zero_grad = function() note("zero") end },
            set_learning_rate = function(_, rate) note("rate", rate) end,
            apply = function() note "update" end,
            check = function() return { grad_norm = 2, loss_scale = 1, skipped = 0 } end,
            find_non_finite = function() return "a.weight", "gradient" end,
        },
        schedule = function(step) return step / 10 end,
    }
    for name, value in pairs(changes or {}) do parts[name] = value end
    return parts, calls, state
end

describe("trainer", function()
    it("does one update per step, in order", function()
        local parts, calls = rig { last_step = 1 }
        local outcome = Trainer.new(parts):run()
        assert.are.same({ "batch 0", "start 1 0", "reset true", "write 0 scale", "rate 0.1", "update" }, calls)
        assert.are.equal("finished", outcome.status)
        assert.are.equal(1, outcome.step)
    end)

    it("ends with one line where the loss depends on nothing that is trained", function()
        local parts, calls = rig {}
        local forward = parts.model.forward
        parts.model.forward = function()
            local result = forward()
            result.loss.needs_grad = false
            return result
        end
        local good, message = pcall(function() Trainer.new(parts):run() end)
        assert.is_false(good)
        assert.is_true(fault.is(message))
        assert.are.equal("the loss depends on no parameter that is trained: freeze less", fault.message(message))
        assert.are.same({ "batch 0", "start 1 0", "reset true" }, calls)
    end)

    it("accumulates micro-steps whose batches are numbered throughout the run", function()
        local parts, calls = rig { accumulation = 2, first_step = 3, last_step = 3 }
        Trainer.new(parts):run()
        assert.are.same({ "batch 4", "start 3 0", "reset true", "write 4 scale", "batch 5", "start 3 1", "reset true",
            "add 5 scale", "rate 0.3", "update" }, calls)
    end)

    it("adds in every micro-step of a recorded step that has several, so that one recording serves them all", function()
        for micro_steps, expected in pairs { { "write 0 scale" }, { "zero", "add 0 scale", "add 1 scale" } } do
            local parts, calls = rig { accumulation = micro_steps, last_step = 1 }
            parts.graphs = { enabled = true, run = function(_, _, work, ...) return work(...) end }
            Trainer.new(parts):run()
            local gradients = {}
            for _, call in ipairs(calls) do
                if call:find "^zero" or call:find "^write" or call:find "^add" then gradients[#gradients + 1] = call end
            end
            assert.are.same(expected, gradients)
        end
    end)

    it("logs means over the steps since the last line, and always the last step", function()
        local records = {}
        local parts = rig { last_step = 5, on_log = function(record) records[#records + 1] = record end }
        Trainer.new(parts):run()
        assert.are.equal(3, #records)
        assert.are.same({ 2, 4, 5 }, { records[1].step, records[2].step, records[3].step })
        assert.are.equal(0.5, records[1].loss)
        assert.are.equal(2.5, records[2].loss)
        assert.are.equal(4, records[3].loss)
        assert.are.equal(3, records[2].step_loss)
        assert.are.equal(0.4, records[2].learning_rate)
        assert.are.equal(2, records[1].grad_norm)
        -- The fake clock advances 1 s per batch, whenever the device gets to it.
        assert.are.equal(3, records[1].sequences_per_second)
        assert.are.equal(10, records[1].tokens_per_second)
        assert.are.equal(3, records[1].remaining)
        assert.are.equal(0, records[3].remaining)
    end)

    it("saves every checkpoint_freq steps and once at the end", function()
        local saved = {}
        local function save(step)
            saved[#saved + 1] = step
            return "dir/" .. step
        end
        local outcome = Trainer.new((rig { checkpoint_freq = 2, last_step = 5, save = save })):run()
        assert.are.same({ 2, 4, 5 }, saved)
        assert.are.equal("dir/5", outcome.checkpoint)
        saved = {}
        Trainer.new((rig { checkpoint_freq = 2, last_step = 4, save = save })):run()
        assert.are.same({ 2, 4 }, saved)
    end)

    it("finishes the step, logs, saves and stops after a signal", function()
        local saved, logged = {}, {}
        local parts = rig {
            save = function(step) saved[#saved + 1] = step return "dir/" .. step end,
            on_log = function(record) logged[#logged + 1] = record.step end,
        }
        local steps = 0
        parts.pending_signal = function()
            steps = steps + 1
            return steps == 3 and "SIGTERM" or nil
        end
        local outcome = Trainer.new(parts):run()
        assert.are.equal("interrupted", outcome.status)
        assert.are.equal("SIGTERM", outcome.signal)
        assert.are.equal(3, outcome.step)
        assert.are.same({ 3 }, saved)
        assert.are.same({ 2, 3 }, logged)
    end)

    --- Run with evaluations every 2 steps; verdicts by step. Returns what happened, in order, and the outcome.
    local function evaluated(changes, verdicts, first)
        local seen = {}
        local parts = rig {
            last_step = 6, log_freq = 6, checkpoint_freq = 3,
            save = function(step, last)
                seen[#seen + 1] = ("save %d%s"):format(step, last and "" or " without means")
                return "dir/" .. step
            end,
            on_step = function(step) seen[#seen + 1] = "step " .. step end,
            evaluation = { first = first, is_due = function(step) return step % 2 == 0 end, run = function(step)
                seen[#seen + 1] = "evaluate " .. step
                return verdicts[step] or {}
            end },
        }
        for name, value in pairs(changes) do parts[name] = value end
        return seen, Trainer.new(parts):run()
    end

    it("evaluates steps that have been examined, before it saves them", function()
        local seen, outcome = evaluated({}, { [4] = { save = true } })
        assert.are.same({ "step 1", "step 2", "evaluate 2", "step 3", "save 3", "step 4", "evaluate 4", "save 4",
            "step 5", "step 6", "evaluate 6", "save 6" }, seen)
        assert.is_nil(outcome.stopped)
    end)

    it("ends where an evaluation says so, with a checkpoint", function()
        local seen, outcome = evaluated({ first_step = 3 }, { [4] = { stop = true } })
        assert.are.same({ "step 3", "save 3", "step 4", "evaluate 4", "save 4" }, seen)
        assert.are.same({ "finished", 4, true, "dir/4" }, { outcome.status, outcome.step, outcome.stopped,
            outcome.checkpoint })
    end)

    it("makes up for an evaluation before the first step", function()
        local seen = evaluated({ first_step = 5, last_step = 5 }, { [4] = { save = true } }, true)
        assert.are.same({ "evaluate 4", "save 4 without means", "step 5", "save 5" }, seen)
        seen = evaluated({ first_step = 5, last_step = 4 }, {}, true)
        assert.are.same({ "evaluate 4", "save 4 without means" }, seen)
        local outcome
        seen, outcome = evaluated({ first_step = 5 }, { [4] = { stop = true } }, true)
        assert.are.same({ "evaluate 4", "save 4 without means" }, seen)
        assert.are.same({ "finished", 4, true }, { outcome.status, outcome.step, outcome.stopped })
    end)

    it("leaves an evaluation to the next run after a signal, and stops at one that came during it", function()
        local seen, outcome = evaluated({ pending_signal = function() return "SIGTERM" end, first_step = 2 }, {})
        assert.are.same({ "step 2", "save 2" }, seen)
        assert.are.equal("interrupted", outcome.status)
        seen, outcome = evaluated({}, { [2] = { signal = "SIGUSR1" } })
        assert.are.same({ "step 1", "step 2", "evaluate 2", "save 2" }, seen)
        assert.are.same({ "interrupted", "SIGUSR1", 2 }, { outcome.status, outcome.signal, outcome.step })
        seen, outcome = evaluated({ first_step = 3 }, { [2] = { signal = "SIGINT" } }, true)
        assert.are.same({ "evaluate 2" }, seen)
        assert.are.same({ "interrupted", "SIGINT" }, { outcome.status, outcome.signal })
    end)

    for name, bad in pairs { ["nan"] = 0 / 0, ["inf"] = math.huge } do
        it("stops at a loss that is " .. name .. ", naming step, tensor and fix, and saves nothing", function()
            local saved = {}
            local parts, _, state = rig { checkpoint_freq = 1, save = function(step)
                saved[#saved + 1] = step
                return "dir/" .. step
            end }
            state.loss_of = function(n) return n == 2 and bad or 1 end
            local ok, message = pcall(function() Trainer.new(parts):run() end)
            assert.is_false(ok)
            assert.is_true(fault.is(message))
            assert.matches("^step 3: the loss is %-?" .. name .. " %(gradient of a.weight%); lower %-%-learning%-rate",
                tostring(message))
            assert.matches("resume from dir/2, the last that is finite$", tostring(message))
            assert.are.same({ 1, 2 }, saved)
            -- Before anything is saved, the last finite one is that of the run before.
            parts, _, state = rig { first_step = 2, resumed_from = "dir/before" }
            state.loss_of = function() return bad end
            assert.error_matches(function() Trainer.new(parts):run() end,
                "^step 2: .* and resume from dir/before, the last that is finite$")
        end)
    end

    it("does not blame the learning rate for a loss that is not finite before the first update", function()
        for own, text in pairs { [true] = "the loss that the recipe computes, and at the parameters",
            [false] = "the parameters" } do
            local parts, _, state = rig {}
            local model = parts.model
            parts.objective = own and { names = { "loss" }, forward = function(_, tape, batch)
                local result = model:forward(tape, batch)
                return result
            end } or nil
            state.loss_of = function() return 0 / 0 end
            local _, message = pcall(function() Trainer.new(parts):run() end)
            assert.matches("^step 1: the loss is %-?nan %(gradient of a.weight%) before the first update: look at "
                .. text .. " that the run starts from$", tostring(message))
        end
    end)

    --- A trainer whose data fail in one step.
    local function failing(changes, n, problem)
        local parts, calls = rig(changes)
        local batch = parts.loader.batch
        parts.loader.batch = function(self, number)
            if number == n then
                if type(problem) == "string" then error(problem, 0) end
                fault.raise("shard 2 cannot be read", 3)
            end
            return batch(self, number)
        end
        local ok, message = pcall(function() Trainer.new(parts):run() end)
        assert.is_false(ok)
        return message, calls
    end

    it("saves the step before one whose data cannot be read, and then reports it", function()
        local saved = {}
        local function save(step, last)
            saved[#saved + 1] = { step, last and last.loss }
            return "dir/" .. step
        end
        local message, calls = failing({ save = save, accumulation = 2, first_step = 2 }, 5)
        assert.are.same({ "shard 2 cannot be read; step 2 was saved first: resume from dir/2", 3 },
            { message.message, message.code })
        assert.are.same({ { 2, 2.5 } }, saved)
        -- The half-done step has updated nothing.
        local updates = 0
        for _, call in ipairs(calls) do
            if call == "update" then updates = updates + 1 end
        end
        assert.are.equal(1, updates)

        -- Nothing new to save: in the first step, and without checkpoints.
        saved = {}
        assert.are.equal("shard 2 cannot be read", failing({ save = save, first_step = 3 }, 2).message)
        assert.are.equal("shard 2 cannot be read", failing({}, 2).message)
        assert.are.same({}, saved)
    end)

    it("reports both when that checkpoint cannot be saved, and saves nothing after a bug", function()
        local function save() fault.raise "no space left" end
        assert.are.equal("shard 2 cannot be read; step 2 could not be saved: no space left",
            failing({ save = save }, 2).message)
        local saved
        assert.are.equal("interrupted", failing({ save = function() saved = true end }, 2, "interrupted"))
        assert.is_nil(saved)
    end)

    it("saves before it reports data that fail while they are read ahead, or in an evaluation", function()
        local saved = {}
        local function save(step)
            saved[#saved + 1] = step
            return "dir/" .. step
        end
        local parts = rig { save = save }
        local calls = 0
        parts.loader.prepare = function()
            calls = calls + 1
            if calls == 2 then fault.raise "shard 2 cannot be read" end
        end
        local _, message = pcall(function() Trainer.new(parts):run() end)
        assert.are.equal("shard 2 cannot be read; step 2 was saved first: resume from dir/2", message.message)
        parts = rig { save = save, evaluation = { is_due = function(step) return step == 3 end,
            run = function() fault.raise "held-out shard cannot be read" end } }
        _, message = pcall(function() Trainer.new(parts):run() end)
        assert.are.equal("held-out shard cannot be read; step 3 was saved first: resume from dir/3", message.message)
        assert.are.same({ 2, 3 }, saved)
    end)

    it("lets the optimizer stop a run whose gradients overflow for good", function()
        local parts = rig()
        parts.optimizer.check = function(_, step) fault.raise("step " .. step .. ": overflow") end
        assert.has_error(function() Trainer.new(parts):run() end)
    end)

    --- A trainer whose device finishes only when somebody waits for it.
    local function lagging(parts)
        local trainer = Trainer.new(parts)
        for _, slot in ipairs(trainer.readback.slots) do
            local event = slot.reached
            slot.reached = {
                record = function() event:record() end, wait = function() event:wait() end,
                is_reached = function() return false end,
            }
        end
        return trainer
    end

    it("queues the next step before it looks at one; log lines, checkpoints and the end wait", function()
        local parts, calls = rig { last_step = 6, log_freq = 4, checkpoint_freq = 3, save = function(step)
            return "dir/" .. step
        end }
        local seen = {}
        parts.on_step = function(step, last)
            local batches = 0
            for _, call in ipairs(calls) do
                if call:match "^batch" then batches = batches + 1 end
            end
            seen[step] = { batches, last.loss }
        end
        local records = {}
        parts.on_log = function(record) records[#records + 1] = record end
        lagging(parts):run()
        assert.are.same({ { 2, 0 }, { 3, 1 }, { 3, 2 }, { 4, 3 }, { 6, 4 }, { 6, 5 } }, seen)
        assert.are.equal(1.5, records[1].loss)
        assert.are.equal(4.5, records[2].loss)
    end)

    it("recomputes gradients to name a tensor when a later step is under way", function()
        local parts, calls, state = rig { last_step = 4, log_freq = 4 }
        state.loss_of = function(n) return n == 1 and 0 / 0 or 1 end
        local ok, message = pcall(function() lagging(parts):run() end)
        assert.is_false(ok)
        assert.matches("^step 2: the loss is %-?nan %(gradient of a.weight%)", tostring(message))
        local batches = {}
        for _, call in ipairs(calls) do batches[#batches + 1] = call:match "^batch (%d+)" end
        assert.are.same({ "0", "1", "2", "1" }, batches)
        assert.are.equal("write nan scale", (calls[#calls]:gsub("%-nan", "nan")))
    end)

    it("does nothing when there is no step left", function()
        local saved = 0
        local parts = rig { first_step = 5, last_step = 4, save = function() saved = saved + 1 end }
        local outcome = Trainer.new(parts):run()
        assert.are.equal("finished", outcome.status)
        assert.are.equal(4, outcome.step)
        assert.are.equal(0, saved)
    end)

    it("requires its parts", function()
        local parts = rig()
        parts.loader = nil
        assert.has_error(function() Trainer.new(parts) end, "trainer: loader is missing")
    end)
end)
