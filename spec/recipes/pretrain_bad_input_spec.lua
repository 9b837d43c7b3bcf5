--- Bad input to pre-training, through the real executable: one clear line, a
-- non-zero exit, and nothing lost.

local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local pretraining = require "spec.support.pretraining"

describe("bad input", function()
    local job
    setup(function() job = pretraining.new() end)
    teardown(function() job:close() end)
    after_each(function()
        if fs.exists(job.out) then assert(fs.remove(job.out)) end
    end)

    --- The last line of a run that must fail with exit code 1; lines before it are the run's preamble.
    local function refused(changes, recipe, prefix)
        local code, output = job:run(recipe or "pretrain_phase1.lua", changes, prefix)
        assert.are.equal(1, code, output)
        local complaints = {}
        for line in output:gmatch "[^\n]+" do
            local complaint = line:match "^bertlua: " and not line:match "^bertlua: warning"
            if complaint then complaints[#complaints + 1] = line end
        end
        assert.are.equal(1, #complaints, output)
        assert.is_nil(output:match "traceback")
        return complaints[1]
    end

    local function broken(name, changes, writer)
        return refused { ["input-dir"] = job:broken_shard(name, changes, writer) }
    end

    it("names a missing folder", function()
        assert.are.equal("bertlua: --input-dir /no/such/folder: no such folder",
            refused { ["input-dir"] = "/no/such/folder" })
    end)

    it("names an empty folder", function()
        assert(fs.mkdirs(job.dir .. "/empty"))
        assert.matches("empty: contains no shards", refused { ["input-dir"] = job.dir .. "/empty" })
    end)

    it("refuses a truncated shard", function()
        local folder = job.dir .. "/truncated"
        assert(fs.mkdirs(folder))
        local bytes = assert(fs.read(job.shards .. "/s_training_1.hdf5"))
        assert(fs.write(folder .. "/s_training_1.hdf5", bytes:sub(1, math.floor(#bytes / 2))))
        assert.matches("truncated/s_training_1.hdf5: ", refused { ["input-dir"] = folder })
    end)

    it("refuses a file that is not HDF5", function()
        local folder = job.dir .. "/text"
        assert(fs.mkdirs(folder))
        assert(fs.write(folder .. "/s_training_1.hdf5", "not a shard"))
        assert.matches("text/s_training_1.hdf5: ", refused { ["input-dir"] = folder })
    end)

    it("names a dataset that is missing", function()
        assert.matches("lacking/s_training_0.hdf5.*segment_ids",
            broken("lacking", nil, { leave_out = { segment_ids = true } }))
    end)

    it("names a dataset of the wrong dtype", function()
        assert.matches("dtype/s_training_0.hdf5.*input_ids", broken("dtype", nil, { dtype = { input_ids = "f32" } }))
    end)

    it("names a token id out of range", function()
        assert.matches("range/s_training_0.hdf5.*input_ids.*200",
            broken("range", function(values) values.input_ids[3][2] = 200 end))
        assert.matches("negative/s_training_0.hdf5.*input_ids.*%-1",
            broken("negative", function(values) values.input_ids[3][2] = -1 end))
    end)

    it("refuses shards of another length", function()
        assert.matches("shards/s_training_1.hdf5.*16", refused { ["max-seq-length"] = 12 })
        assert.matches("max_position_embeddings 16", refused { ["max-seq-length"] = 32 })
    end)

    it("refuses a config with an unknown key", function()
        assert.matches('unknown key "hiden_size"',
            refused { ["config-file"] = job:write_config({ hiden_size = 3 }, "unknown.json") })
    end)

    it("refuses a hidden size that is not a multiple of the heads", function()
        assert.matches("hidden_size is 16.*num_attention_heads %(3%)",
            refused { ["config-file"] = job:write_config({ num_attention_heads = 3 }, "heads.json") })
    end)

    it("refuses a config that is not JSON, or missing", function()
        assert(fs.write(job.dir .. "/broken.json", "{ no"))
        assert.matches("broken.json", refused { ["config-file"] = job.dir .. "/broken.json" })
        assert.matches("%-%-config%-file /no.json: no such file", refused { ["config-file"] = "/no.json" })
        assert.matches("shards: is a folder, expected a file", refused { ["config-file"] = job.shards })
        assert.matches("%-%-bert%-model custom requires %-%-config%-file", refused { ["config-file"] = false })
    end)

    it("refuses a vocabulary of another size", function()
        local path = job:write_config({ vocab_size = 300 }, "vocab.json")
        assert.matches("vocab.txt has 200 tokens, but .*vocab.json has vocab_size 300",
            refused { ["config-file"] = path })
    end)

    it("refuses both phases at once, and none", function()
        assert.matches("%-%-phase1 and %-%-phase2 are both set", refused { phase2 = "true" })
        assert.matches("neither %-%-phase1 nor %-%-phase2", refused { phase1 = "false" })
    end)

    it("refuses a file name for parameters that leaves the checkpoint", function()
        assert.matches("%-%-model%-prefix a/b: expected a name without a slash", refused { ["model-prefix"] = "a/b" })
    end)

    it("keeps the report of an earlier run when the next one cannot start", function()
        assert(fs.write(job.dir .. "/report.json", "kept\n"))
        assert.matches("unknown key", refused { ["config-file"] = job:write_config({ hiden = 1 }, "kept.json") })
        assert.are.equal("kept\n", fs.read(job.dir .. "/report.json"))
        assert.matches("report file " .. job.shards, refused { ["report-file"] = job.shards }, 1, true)
    end)

    it("tells of labels that are all of one kind as training begins, and keeps the report of another run", function()
        local folder = job:broken_shard("one_kind", function(values)
            for n = 1, #values.next_sentence_labels do values.next_sentence_labels[n] = 0 end
        end)
        assert(fs.write(job.dir .. "/report.json", "another run\n"))
        local code, output = job:run("pretrain_phase1.lua", { ["input-dir"] = folder, ["max-steps"] = 1 })
        assert.are.equal(0, code, output)
        local at = output:find("warning: " .. folder .. "/s_training_0.hdf5: no sample has a random next sentence: all "
            .. "next_sentence_labels of 24 samples are 0: nothing is learned of next sentences", 1, true)
        assert.is_truthy(at and at < output:find("1/1 ", 1, true), output)
        local kept = output:match "report.json is another run's: kept as ([^\n]+)"
        assert.are.equal("another run\n", fs.read(kept))
    end)

    it("checks the second phase before the first one trains", function()
        local own = {}
        for _, name in ipairs { "input-dir", "batch-size", "gradient-merge-steps", "max-steps", "max-seq-length",
            "max-predictions-per-seq", "num-steps-per-checkpoint", "learning-rate" } do own[name] = false end
        for phase = 1, 2 do
            for name, value in pairs { ["input-dir"] = job.shards, ["batch-size"] = 4, ["gradient-merge-steps"] = 1,
                ["max-steps"] = 1, ["max-seq-length"] = 16, ["max-predictions-per-seq"] = 3 } do
                own[("phase%d-%s"):format(phase, name)] = value
            end
        end
        own["phase2-input-dir"] = "/no/such/folder"
        assert.are.equal("bertlua: --phase2-input-dir /no/such/folder: no such folder", refused(own, "pretrain.lua"))
        own["phase2-input-dir"], own["phase2-max-seq-length"] = job.shards, 8
        assert.matches("its samples are 16 tokens long", refused(own, "pretrain.lua"))
        assert.is_false(fs.exists(job.out))
    end)

    it("refuses an unknown setting", function()
        assert.are.equal("bertlua: unknown setting --bacth-size; did you mean --batch-size?",
            refused { ["bacth-size"] = 3 })
    end)

    it("refuses settings that need what this machine lacks", function()
        assert.matches("%-%-use%-pure%-fp16 needs a GPU", refused { ["use-pure-fp16"] = "true" })
        assert.matches("%-%-no%-fuse%-mha", refused { ["fuse-mha"] = "false" })
        assert.matches("%-%-matmul%-choices needs a GPU", refused { device = "cpu", ["matmul-choices"] = "m.txt" })
        assert.matches("contradict each other", refused { precision = "amp" })
        assert.matches('%-%-device: got "tpu"', refused { device = "tpu" })
    end)

    it("predicts that a micro-step does not fit, and what would", function()
        assert.matches("one sequence of 16 tokens takes", refused { ["activation-memory"] = 0.00001 })
        local message = refused { ["activation-memory"] = 0.001, ["batch-size"] = 48, ["gradient-merge-steps"] = 2 }
        local batch, steps = message:match "%-%-batch%-size (%d+) %-%-gradient%-merge%-steps (%d+) fits"
        assert.is_string(batch, message)
        assert.are.equal(96, batch * steps)
        local code, output = job:run("pretrain_phase1.lua", { ["activation-memory"] = 0.001, ["batch-size"] = batch,
            ["gradient-merge-steps"] = steps, ["max-steps"] = 1 })
        assert.are.equal(0, code, output)
    end)

    it("refuses starting points that contradict each other", function()
        assert.matches("%-%-from%-checkpoint and %-%-from%-pretrained%-params are both set",
            refused { ["from-checkpoint"] = "a", ["from-pretrained-params"] = "b" })
        assert.matches("%-%-from%-phase1%-final%-params is for %-%-phase2",
            refused { ["from-phase1-final-params"] = job.dir })
        assert.matches("%-%-from%-phase1%-final%-params .*: contains no model.safetensors,",
            refused({ ["from-phase1-final-params"] = job.dir }, "pretrain_phase2.lua"))
        assert.matches("%-%-from%-pretrained%-params /no: no such folder",
            refused { ["from-pretrained-params"] = "/no" })
    end)

    it("refuses a missing --from-checkpoint, also with auto, and says where else it looks", function()
        for _, step in ipairs { "auto", "none", 7 } do
            assert.matches("%-%-from%-checkpoint /no: no such folder: correct it, or leave it out to look in .*/phase1",
                refused { ["from-checkpoint"] = "/no", ["last-step-of-checkpoint"] = step })
        end
    end)

    it("refuses a second run in the same folder, and leaves the first one's files alone", function()
        local folder = job.out .. "/custom/phase1"
        assert(fs.mkdirs(folder))
        local me = { pid = require("posix.unistd").getpid(), host = require("posix.sys.utsname").uname().nodename }
        assert(fs.write(folder .. "/.lock", json.encode(me)))
        assert.matches("another run is writing here %(process " .. me.pid .. " on .*choose another %-%-output%-dir",
            refused {})
        assert.are.same({ ".lock" }, fs.list(folder))
        -- Measuring writes nothing there.
        local code, output = job:run("pretrain_phase1.lua", { benchmark = "true", ["benchmark-steps"] = 1,
            ["benchmark-warmup-steps"] = 0 })
        assert.are.equal(0, code, output)
        assert(fs.remove(folder))
    end)

    describe("beside a checkpoint", function()
        local function trained(changes)
            local code, output = job:run("pretrain_phase1.lua", changes)
            assert.are.equal(0, code, output)
            return job.out .. "/custom/phase1/2"
        end

        local function bytes_of(folder)
            local all = {}
            for _, name in ipairs(assert(fs.list(folder))) do all[name] = assert(fs.read(folder .. "/" .. name)) end
            return all
        end

        it("refuses to start over it, and a missing step", function()
            local path = trained { ["max-steps"] = 2 }
            local before = bytes_of(path)
            assert.matches("already holds checkpoints up to step 2", refused {})
            assert.matches("%-%-last%-step%-of%-checkpoint 3: .* complete steps 2", refused {
                ["last-step-of-checkpoint"] = 3 })
            assert.matches("is at step 2, but this run ends at step 1", refused { ["last-step-of-checkpoint"] = "auto",
                ["max-steps"] = 1 })
            assert.matches("holds steps 2: add %-%-last%-step%-of%-checkpoint", refused {
                ["from-checkpoint"] = job.out .. "/custom/phase1" })
            assert.are.same(before, bytes_of(path))
        end)

        it("refuses a checkpoint of another shape", function()
            local path = trained { ["max-steps"] = 2 }
            local before = bytes_of(path)
            local wide = job:write_config({ hidden_size = 32 }, "wide.json")
            assert.matches("hidden_size was 16 in .*/2 and is 32 now: use the configuration", refused {
                ["config-file"] = wide, ["last-step-of-checkpoint"] = "auto" })
            assert.are.same(before, bytes_of(path))
        end)

        it("falls back to an older checkpoint when the newest is damaged", function()
            trained { ["max-steps"] = 4, ["num-steps-per-checkpoint"] = 2 }
            local file = job.out .. "/custom/phase1/4/optimizer.safetensors"
            local bytes = assert(fs.read(file))
            assert(fs.write(file, bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256)))
            local code, output = job:run("pretrain_phase1.lua", { ["last-step-of-checkpoint"] = "auto" })
            assert.are.equal(0, code, output)
            assert.matches("skipped .*/4 %(.*damaged.*%); resuming from .*/2", output)
        end)

        it("keeps the older checkpoint when the disk is full", function()
            local path = trained { ["max-steps"] = 2, ["steps-this-run"] = 2 }
            local before = bytes_of(path)
            -- A limit on the file size makes every write past it fail, as a full disk does.
            local message = refused({ ["last-step-of-checkpoint"] = "auto", ["max-steps"] = 4,
                ["tensorboard-dir"] = "none" }, nil, "trap '' XFSZ; ulimit -f 16; ")
            assert.matches("checkpoint of step 4 was not saved: .*; the checkpoint of step 2 is intact", message)
            assert.are.same({ "2", "tensorboard" }, fs.list(job.out .. "/custom/phase1"))
            assert.are.same(before, bytes_of(path))
        end)

        it("stops when the loss is not a number and leaves the checkpoint alone", function()
            local path = trained { ["max-steps"] = 2 }
            local before = bytes_of(path)
            local message = refused { ["last-step-of-checkpoint"] = "auto", ["max-steps"] = 200,
                ["learning-rate"] = 1e38, ["warmup-proportion"] = 0, optimizer = "Lamb", ["max-grad-norm"] = 0 }
            assert.matches("step %d+: the loss is %-?[ni][an][nf].*lower %-%-learning%-rate", message)
            assert.are.same(before, bytes_of(path))
        end)
    end)
end)
