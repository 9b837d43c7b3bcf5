--- Checkpoints: what a folder holds, what survives a kill, a full disk and a damaged file.

local signal = require "posix.signal"
local posix_time = require "posix.time"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local checkpoint = require "bertlua.train.checkpoint"
local clock = require "bertlua.util.clock"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local models = require "bertlua.models.bert"
local Optimizer = require "bertlua.train.optimizer"
local storage = require "bertlua.storage"
local term = require "bertlua.util.term"
local tensor = require "bertlua.tensor"

local SHAPE = {
    vocab_size = 13, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16,
    max_position_embeddings = 10, type_vocab_size = 2,
}

local function config_of(changes)
    local values = {}
    for key, value in pairs(SHAPE) do values[key] = value end
    for key, value in pairs(changes or {}) do values[key] = value end
    return models.BertConfig.new(values)
end

--- A small model with an optimizer whose state differs from zero.
-- @param frozen pattern of names to freeze, or nil
local function make(seed, changes, kind, frozen)
    local config = config_of(changes)
    local model = models.BertForPretraining.new(config)
    local store = model.store
    if frozen then store:freeze(function(name) return name:find(frozen) ~= nil end) end
    store:allocate { precision = "fp32", seed = seed }
    local optimizer = Optimizer.new { store = store, kind = kind or "Lamb" }
    for step = 1, seed do
        for i, entry in ipairs(store.list) do
            local grad = entry.rows and entry.grad and entry.grad:slice(1, 1, entry.rows) or entry.grad
            if grad then grad:fill(math.sin(seed * i + step)) end
        end
        optimizer:step(0.01)
    end
    return { store = store, optimizer = optimizer, config = config, progress = { epoch = 2, loss = 1.25 } }
end

local function bits(parts)
    return { storage.crc32c(parts.store.value), storage.crc32c(parts.optimizer.m), storage.crc32c(parts.optimizer.v),
        storage.crc32c(parts.optimizer.scalars) }
end

local function pause(milliseconds)
    posix_time.nanosleep { tv_sec = 0, tv_nsec = milliseconds * 1e6 }
end

describe("checkpoint", function()
    local root

    before_each(function()
        root = assert(fs.temporary_folder "bertlua-checkpoint")
    end)

    after_each(function()
        fs.remove(root)
    end)

    local function overwrite(path, text)
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
    end

    local function run(code, shell)
        local script = root .. "/script.lua"
        overwrite(script, ("package.path = %q\n"):format(package.path) .. code)
        local pipe = assert(io.popen((shell or "") .. "luajit " .. script .. " 2>&1"))
        local output = pipe:read "*a"
        pipe:close()
        os.remove(script)
        return output
    end

    describe("save and load", function()
        it("compare a checkpoint's files with what it recorded, once on each machine", function()
            local path = checkpoint.save(root, 7, make(3))
            local text = assert(fs.read(path .. "/optimizer.safetensors"))
            overwrite(path .. "/optimizer.safetensors", text:sub(1, -2) .. string.char(bit.bxor(text:byte(-1), 1)))
            -- Rank 3 is the first on its machine, rank 4 reads what it has compared.
            local other = make(5)
            other.ranks = { main = false, comm = { local_rank = 0 } }
            assert.error_matches(function() checkpoint.load(path, other) end, "optimizer.safetensors is damaged: ")
            other.ranks.comm.local_rank = 1
            checkpoint.load(path, other)
        end)

        it("restore parameters, optimizer and progress bit for bit", function()
            local saved, other = make(3), make(5)
            assert.are_not.same(bits(saved), bits(other))
            local path = checkpoint.save(root, 7, saved)
            assert.are.equal(root .. "/7", path)
            local progress, report = checkpoint.load(path, other)
            assert.are.same(bits(saved), bits(other))
            assert.are.equal(7, progress.step)
            assert.are.equal(2, progress.epoch)
            assert.are.equal(1.25, progress.loss)
            assert.are.equal(3, progress.updates)
            assert.are.same({ missing = {}, unexpected = {} }, report)
        end)

        it("write nothing that holds an inf or NaN", function()
            local parts = make(1)
            local function refused(pattern)
                assert.error_matches(function() checkpoint.save(root, 9, parts) end,
                    "^checkpoint of step 9 was not saved: " .. pattern)
            end
            parts.store.list[3].value:fill(0 / 0)
            refused("the value of " .. parts.store.list[3].name:gsub("%p", "%%%0") .. " holds an inf or NaN; lower "
                .. "%-%-learning%-rate or lengthen %-%-warmup%-proportion, and start again: no checkpoint has been")
            assert.are.same({}, fs.list(root))
            parts = make(1)
            checkpoint.save(root, 5, parts)
            parts.optimizer.v:slice(1, 1, 1):fill(math.huge)
            refused "the second moment of .* holds an inf or NaN; .* and resume from the checkpoint of step 5, the last"
            parts = make(1)
            parts.optimizer.scalars:slice(1, 4, 4):fill(0 / 0)
            refused "the optimizer's state holds"
            assert.are.same({ "5" }, fs.list(root))
        end)

        it("keep frozen parameters, which have no optimizer state", function()
            local saved, other = make(3, nil, nil, "embeddings"), make(5, nil, nil, "embeddings")
            saved.progress.freeze = '{ "embeddings" }'
            local path = checkpoint.save(root, 7, saved)
            local file = assert(storage.open(path .. "/model.safetensors"))
            assert.is_true(file:has "bert.embeddings.word_embeddings.weight")
            local state = assert(storage.open(path .. "/optimizer.safetensors"))
            assert.are.equal(2 * (#file:names() - 5) + 1, #state:names())
            assert.is_false(state:has "m.bert.embeddings.word_embeddings.weight")
            local _, report = checkpoint.load(path, other)
            assert.are.same(bits(saved), bits(other))
            assert.is_nil(report.thawed)
        end)

        it("begin with zero moments for what was frozen, and drop those of what is frozen now", function()
            local saved, other = make(3, nil, nil, "embeddings"), make(5, nil, nil, "pooler")
            saved.progress.freeze = '{ "embeddings" }'
            local path = checkpoint.save(root, 7, saved)
            local _, report = checkpoint.load(path, other)
            assert.are.equal(5, #report.thawed)
            assert.are.equal("bert.embeddings.word_embeddings.weight", report.thawed[1])
            local function moment(parts, name)
                local entry = parts.store:get(name)
                return parts.optimizer.m:slice(1, entry.offset + 1, entry.offset + entry.numel):tolist()
            end
            for _, value in ipairs(moment(other, "bert.embeddings.LayerNorm.weight")) do assert.are.equal(0, value) end
            local name = "bert.encoder.layer.0.output.dense.weight"
            assert.are.same(moment(saved, name), moment(other, name))
            assert.are.same(saved.optimizer.scalars:tolist(), other.optimizer.scalars:tolist())
            assert.are.same(saved.store:get("bert.pooler.dense.weight").value:tolist(),
                other.store:get("bert.pooler.dense.weight").value:tolist())
            -- State that is missing for no such reason is a damaged file.
            saved.progress.freeze = nil
            path = checkpoint.save(root, 8, saved)
            assert.error_matches(function() checkpoint.load(path, other) end, "optimizer%.safetensors: lacks 10 of %d+ "
                .. "tensors of this model")
        end)

        it("hold Hugging Face's names and the true vocabulary size", function()
            local path = checkpoint.save(root, 1, make(1))
            local file = assert(storage.open(path .. "/model.safetensors"))
            assert.are.same({ 13, 8 }, file:info("bert.embeddings.word_embeddings.weight").dims)
            assert.are.same({ 13 }, file:info("cls.predictions.bias").dims)
            assert.is_false(file:has "cls.predictions.decoder.weight")
            assert.are.equal("pt", file:metadata().format)
            local state = assert(storage.open(path .. "/optimizer.safetensors"))
            assert.are.same({ 13, 8 }, state:info("m.bert.embeddings.word_embeddings.weight").dims)
            assert.are.equal(2 * #file:names() + 1, #state:names())
            local config = assert(json.read(path .. "/config.json"))
            assert.are.equal("bert", config.model_type)
            assert.are.same({ "BertForPreTraining" }, config.architectures)
            assert.are.equal(13, config.vocab_size)
        end)

        it("give the same bytes for the same state", function()
            local a = checkpoint.save(root .. "/a", 4, make(2))
            local b = checkpoint.save(root .. "/b", 4, make(2))
            for _, name in ipairs(fs.list(a)) do
                assert.are.equal(fs.read(a .. "/" .. name), fs.read(b .. "/" .. name), name)
            end
        end)

        it("keep pad rows of the vocabulary at zero", function()
            local saved, other = make(1), make(2)
            local word = other.store:get "bert.embeddings.word_embeddings.weight"
            word.value:slice(1, 14, 16):fill(3)
            other.optimizer.m:fill(3)
            other.optimizer.v:fill(3)
            checkpoint.load(checkpoint.save(root, 1, saved), other)
            assert.are.same(bits(saved), bits(other))
            for _, value in ipairs(word.value:slice(1, 14, 16):view(24):tolist()) do assert.are.equal(0, value) end
        end)

        it("copy the vocabulary, and refuse another one", function()
            local parts = make(1)
            parts.vocab_file = root .. "/words"
            overwrite(parts.vocab_file, "[PAD]\na\n")
            local path = checkpoint.save(root, 1, parts)
            assert.are.equal("[PAD]\na\n", fs.read(path .. "/vocab.txt"))
            checkpoint.load(path, parts)
            overwrite(parts.vocab_file, "[PAD]\nA\n")
            assert.error_matches(function() checkpoint.load(path, parts) end,
                "was not trained with vocabulary .*/words: use .*/1/vocab.txt")
        end)

        it("replace a checkpoint of the same step", function()
            local newer = make(4)
            checkpoint.save(root, 5, make(1))
            checkpoint.save(root, 5, newer)
            local other = make(2)
            checkpoint.load(root .. "/5", other)
            assert.are.same(bits(newer), bits(other))
            assert.are.same({ "5" }, fs.list(root))
        end)

        it("use the file name that model_prefix asks for", function()
            local parts, other = make(1), make(2)
            parts.model_prefix, other.model_prefix = "bert", "bert"
            local path = checkpoint.save(root, 1, parts)
            assert.is_true(checkpoint.has_parameters(path, "bert"))
            assert.is_false(checkpoint.has_parameters(path))
            checkpoint.load(path, other)
            assert.are.same(bits(parts), bits(other))
            other.model_prefix = nil
            assert.error_matches(function() checkpoint.load(path, other) end, "model.safetensors is missing")
        end)
    end)

    describe("load refuses", function()
        local path

        before_each(function()
            path = checkpoint.save(root, 100, make(1))
        end)

        local function refuses(pattern, changes, kind)
            local parts = make(2, changes, kind)
            local before = bits(parts)
            assert.error_matches(function() checkpoint.load(path, parts) end, pattern)
            assert.are.same(before, bits(parts))
        end

        it("another shape, naming both", function()
            refuses("/100/model.safetensors: bert.embeddings.word_embeddings.weight is %[13,8%], but this model needs "
                .. "%[21,8%]: its configuration must be that of the parameters", { vocab_size = 21 })
        end)

        it("a different number of layers, counting what is missing or unexpected", function()
            refuses("lacks 16 of 46 tensors of this model %(bert.encoder.layer.1[%w%p%s]+ and 12 more%)",
                { num_hidden_layers = 2 })
            path = checkpoint.save(root, 200, make(1, { num_hidden_layers = 2 }))
            refuses("has 16 tensors this model does not know %(bert.encoder.layer.1")
        end)

        it("another number of heads, which shapes do not reveal", function()
            refuses("num_attention_heads is 2, but this model has 4", { num_attention_heads = 4 })
        end)

        it("the state of another optimizer", function()
            refuses("holds the state of Lamb, but this run uses AdamW", nil, "AdamW")
        end)

        it("a damaged file", function()
            local file = path .. "/optimizer.safetensors"
            local text = fs.read(file)
            overwrite(file, text:sub(1, -2) .. string.char((text:byte(-1) + 1) % 256))
            refuses("optimizer.safetensors is damaged: its CRC32C is %d+, expected %d+: use an older checkpoint")
        end)

        it("a missing folder and a folder without a model", function()
            path = root .. "/none"
            refuses("/none: no such checkpoint")
            path = root
            refuses("model.safetensors is missing: not a checkpoint")
        end)

        it("missing optimizer state", function()
            local parts = make(1)
            parts.optimizer = nil
            path = checkpoint.save(root, 300, parts)
            refuses("/300/optimizer.safetensors is missing")
        end)
    end)

    describe("the newest checkpoint", function()
        it("is the one with the largest number, and only the newest three are kept", function()
            assert.are.same({}, { checkpoint.latest(root .. "/nowhere") })
            local parts = make(1)
            for _, step in ipairs { 9, 10, 100, 1000 } do checkpoint.save(root, step, parts) end
            assert.are.same({ "10", "100", "1000" }, fs.list(root))
            assert.are.same({ 10, 100, 1000 }, checkpoint.steps(root))
            assert.are.same({ root .. "/1000", 1000 }, { checkpoint.latest(root) })
        end)

        it("is saved even where an older one cannot be removed: a warning says so, once", function()
            local parts, warned, remove, warn = make(1), {}, fs.remove, term.warn
            finally(function() fs.remove, term.warn = remove, warn end)
            function term.warn(text) warned[#warned + 1] = text end
            function fs.remove(path)
                if path:find "/%.tmp%-1%-%d+$" then return nil, path .. ": Input/output error" end
                return remove(path)
            end
            for _, step in ipairs { 1, 2, 3, 4, 5 } do checkpoint.save(root, step, parts) end
            assert.are.same({ 3, 4, 5 }, checkpoint.steps(root))
            assert.are.equal(1, #warned)
            assert.matches("/%.tmp%-1%-%d+: cannot be removed: .*Input/output error; remove it by hand$", warned[1])
        end)

        it("is kept besides the best, which stands for the run where there is one", function()
            local parts = make(1)
            parts.best, parts.progress = 9, { evaluation = { kept = true, best_step = 9, metric = "f1" } }
            for _, step in ipairs { 9, 10, 100, 1000, 1001 } do checkpoint.save(root, step, parts) end
            assert.are.same({ "100", "1000", "1001", "9" }, fs.list(root))
            assert.are.same({ root .. "/1001", 1001 }, { checkpoint.latest(root) })
            assert.are.same({ root .. "/9", 9, nil, "f1" }, { checkpoint.preferred(root) })
            overwrite(root .. "/9/model.safetensors", "")
            local path, step, note = checkpoint.preferred(root)
            assert.are.same({ root .. "/1001", 1001 }, { path, step })
            assert.matches("/9 has the best f1, but model.safetensors has 0 bytes, expected %d+; using .*/1001$", note)
            -- A run that evaluates without keeping the best.
            parts.best, parts.progress = nil, { evaluation = { best_step = 100, metric = "f1" } }
            checkpoint.save(root, 1002, parts)
            assert.are.same({ root .. "/1002", 1002 }, { checkpoint.preferred(root) })
            assert.are.same({ "1000", "1001", "1002" }, fs.list(root))
        end)

        it("falls back past broken ones and says why", function()
            local parts = make(1)
            for _, step in ipairs { 10, 20, 30 } do checkpoint.save(root, step, parts) end
            assert(fs.mkdirs(root .. "/40"))
            assert(fs.mkdirs(root .. "/50"))
            overwrite(root .. "/50/progress.json", '{"step": 50, "files"')
            local model = root .. "/30/model.safetensors"
            overwrite(model, fs.read(model):sub(1, -10))
            local path, step, note = checkpoint.latest(root)
            assert.are.equal(root .. "/20", path)
            assert.are.equal(20, step)
            assert.matches("/50 %(.*progress.json:1:%d+: not valid JSON", note)
            assert.matches("/40 %(progress.json is missing%)", note)
            assert.matches("/30 %(model.safetensors has %d+ bytes, expected %d+%)", note)
            assert.matches("resuming from .*/20$", note)
            assert.are.same({ 10, 20 }, checkpoint.steps(root))
        end)

        it("is not a folder renamed to a number", function()
            local parts = make(1)
            checkpoint.save(root, 1, parts)
            checkpoint.save(root, 2, parts)
            assert(fs.rename(root .. "/2", root .. "/3"))
            local path, step, note = checkpoint.latest(root)
            assert.are.same({ root .. "/1", 1 }, { path, step })
            assert.matches("/3 %(progress.json is for step 2%)", note)
        end)

        it("is none whose progress.json is damaged anywhere, and the search never crashes", function()
            checkpoint.save(root, 1, make(1))
            local file = root .. "/1/progress.json"
            local text = fs.read(file)
            for at = 1, #text do
                os.remove(file)
                overwrite(file, text:sub(1, at - 1) .. string.char(bit.bxor(text:byte(at), 2 ^ (at % 8)))
                    .. text:sub(at + 1))
                local path, step, note = checkpoint.latest(root)
                assert.are.same({ nil, nil, "string" }, { path, step, type(note) })
            end
            for _, other in ipairs { "", "[]", "3", "null", '{"step":1,"files":[1]}', '{"step":1,"files":{"a":{}}}',
                '{"step":1,"files":{"a":{"bytes":"x","crc32c":1}}}' } do
                overwrite(file, other)
                assert.is_nil((checkpoint.latest(root)))
            end
        end)

        it("is one that an older version wrote, whose progress.json has no checksum", function()
            checkpoint.save(root, 1, make(1))
            local file = root .. "/1/progress.json"
            local old = fs.read(file):gsub('"format": 2,\n  "self_crc32c": "%x+",', '"format": 1,')
            assert.is_nil(old:find("self_crc32c", 1, true))
            overwrite(file, old)
            assert.are.same({ root .. "/1", 1 }, { checkpoint.latest(root) })
            assert.are.equal(1, (checkpoint.load(root .. "/1", make(2))).step)
        end)

        it("is never one that holds an inf or NaN, although its checksums are right", function()
            local parts = make(1)
            for step = 1, 3 do checkpoint.save(root, step, parts) end
            --- Write a NaN into a file of a checkpoint, and vouch for it.
            local function poison(step, name, from_end)
                local path = ("%s/%d"):format(root, step)
                local text = fs.read(path .. "/" .. name)
                overwrite(path .. "/" .. name, text:sub(1, #text - from_end) .. "\0\0\192\127"
                    .. text:sub(#text - from_end + 5))
                require("bertlua.train.progress_file").write(path, checkpoint.progress(path))
                assert.is_true(checkpoint.verify(path))
            end
            poison(3, "optimizer.safetensors", 400)
            poison(2, "model.safetensors", 4)
            local path, step, note = checkpoint.latest(root)
            assert.are.same({ root .. "/1", 1 }, { path, step })
            assert.matches("/3 %(optimizer.safetensors: v%.[%w_.]+ holds an inf or NaN%); .*/2 %(model.safetensors: "
                .. "[%w_.]+ holds an inf or NaN%); resuming from .*/1$", note)
            -- Named by the user, it is refused.
            assert.error_matches(function() checkpoint.load(root .. "/3", make(1)) end,
                "/3/optimizer.safetensors: v%.[%w_.]+ holds NaN: use an older checkpoint$")
            assert.error_matches(function() checkpoint.load_pretrained(root .. "/2", make(1)) end,
                "/2/model.safetensors: [%w_.]+ holds NaN: use an older checkpoint$")
            poison(1, "model.safetensors", 4)
            path, step, note = checkpoint.latest(root)
            assert.are.same({ nil, nil }, { path, step })
            assert.matches("^none of the checkpoints in .* can be used: .*/3 %(.*/2 %(.*/1 %(.*holds an inf or NaN%)$",
                note)
        end)

        it("is never one with a flipped bit", function()
            local parts = make(1)
            checkpoint.save(root, 1, parts)
            checkpoint.save(root, 2, parts)
            local file = root .. "/2/model.safetensors"
            local text = fs.read(file)
            overwrite(file, text:sub(1, -5) .. string.char(bit.bxor(text:byte(-4), 16)) .. text:sub(-3))
            assert.is_true(checkpoint.is_complete(root .. "/2"))
            local path, _, note = checkpoint.latest(root)
            assert.are.equal(root .. "/1", path)
            assert.matches("model.safetensors is damaged", note)
        end)
    end)

    describe("an interrupted save", function()
        --- Save steps 10, 20, ... without end in another process; returns its id.
        local function save_for_ever()
            local script = root .. "/script.lua"
            overwrite(script, ([[
                package.path = %q
                local checkpoint = require "bertlua.train.checkpoint"
                local tensor = require "bertlua.tensor"
                local value = tensor.new("f32", { 400000 })
                local store = { master = value, list = { { name = "w", dims = { 400000 }, value = value } } }
                local step = 0
                while true do
                    step = step + 10
                    value:fill(step)
                    checkpoint.save(%q, step, { store = store })
                end
            ]]):format(package.path, root))
            local pid = assert(unistd.fork())
            if pid == 0 then
                unistd.execp("luajit", { script })
                unistd._exit(127)
            end
            return pid
        end

        it("by kill -9 at any moment leaves the older ones loadable", function()
            local value = tensor.new("f32", { 400000 })
            local store = { master = value, list = { { name = "w", dims = { 400000 }, value = value } } }
            function store.sync_low() end
            local partial, attempt = 0, 0
            -- At least 5 kills, and until two of them interrupted a save.
            while attempt < 5 or partial < 2 do
                attempt = attempt + 1
                assert.is_true(attempt <= 40, "no kill came in the middle of a save")
                local pid = save_for_ever()
                local deadline = clock.monotonic() + 60
                repeat pause(5) until #checkpoint.steps(root) >= 2 or clock.monotonic() > deadline
                -- Spread over the duration of one save.
                pause(attempt * 7 % 32)
                signal.kill(pid, signal.SIGKILL)
                assert.are.equal("killed", select(2, wait.wait(pid)))
                assert.is_true(#checkpoint.steps(root) >= 2, "nothing was saved in time")
                for _, name in ipairs(fs.list(root)) do
                    if name:find "^%.tmp" then partial = partial + 1 end
                end
                local path, step, note = checkpoint.latest(root)
                assert.is_string(path)
                assert.is_nil(note)
                checkpoint.load(path, { store = store })
                assert.are.equal(step, value:slice(1, 400000, 400000):item())
                for _, name in ipairs(fs.list(root)) do
                    assert.is_truthy(name == "script.lua" or name:match "^%d+$", name)
                    if name ~= "script.lua" then fs.remove(root .. "/" .. name) end
                end
            end
        end)

        it("cleans up after dead processes, not after live ones", function()
            local gone = tonumber(run "print(require('posix.unistd').getpid())")
            assert(fs.mkdirs(("%s/.tmp-5-%d/sub"):format(root, gone)))
            assert(fs.mkdirs(root .. "/.tmp-6-1"))
            checkpoint.save(root, 7, make(1))
            assert.are.same({ ".tmp-6-1", "7" }, fs.list(root))
        end)

        it("restores a checkpoint that was set aside when its replacement never arrived", function()
            local gone = tonumber(run "print(require('posix.unistd').getpid())")
            checkpoint.save(root, 7, make(1))
            assert(fs.rename(root .. "/7", ("%s/.old-7-%d"):format(root, gone)))
            assert.are.equal(root .. "/7", (checkpoint.latest(root)))
            assert.are.same({ "7" }, fs.list(root))
        end)

        it("by a full disk gives one clear line; older checkpoints stay and no part is left", function()
            local parts = make(1)
            for _, step in ipairs { 10, 20, 30 } do checkpoint.save(root, step, parts) end
            local output = run(([[
                local checkpoint = require "bertlua.train.checkpoint"
                local tensor = require "bertlua.tensor"
                local value = tensor.new("f32", { 400000 })
                local store = { master = value, list = { { name = "w", dims = { 400000 }, value = value } } }
                local _, fault = pcall(checkpoint.save, %q, 40, { store = store })
                print(require("bertlua.fault").is(fault), fault)
            ]]):format(root), "trap '' XFSZ; ulimit -f 1000; ")
            assert.matches("^true\tcheckpoint of step 40 was not saved: .*/%.tmp%-40%-%d+/model.safetensors: cannot "
                .. "write at byte %d+: no space left under the file size limit.*; the checkpoint of step 30 is "
                .. "intact\n$", output)
            assert.are.same({ "10", "20", "30" }, fs.list(root))
            assert.are.same({ root .. "/30", 30 }, { checkpoint.latest(root) })
        end)
    end)

    describe("other programs' files", function()
        local function rename_all(parts, rename)
            local list = {}
            for i, entry in ipairs(parts.store.list) do
                list[i] = { name = rename(entry.name), tensor = entry.stored }
            end
            return list
        end

        it("load with bare names, gamma and beta, without heads", function()
            local parts, other = make(1), make(2)
            local list = {}
            for _, item in ipairs(rename_all(parts, function(name)
                return (name:gsub("^bert%.", ""):gsub("LayerNorm.weight", "LayerNorm.gamma")
                    :gsub("LayerNorm.bias", "LayerNorm.beta"))
            end)) do
                if not item.name:find "^cls" then list[#list + 1] = item end
            end
            local path = root .. "/bare.safetensors"
            assert(storage.save(path, list))
            local before = other.store:get("cls.predictions.bias").value:tolist()
            local report = checkpoint.load_pretrained(path, other)
            for _, entry in ipairs(parts.store.list) do
                if entry.name:find "^bert" then
                    assert.are.same(entry.value:tolist(), other.store:get(entry.name).value:tolist(), entry.name)
                end
            end
            assert.are.same(before, other.store:get("cls.predictions.bias").value:tolist())
            assert.are.equal(7, #report.missing)
            assert.are.same({}, report.unexpected)
        end)

        it("load with the tied decoder's copies", function()
            local parts, other = make(1), make(2)
            local list = rename_all(parts, function(name) return name end)
            list[#list + 1] = { name = "cls.predictions.decoder.bias",
                tensor = parts.store:get("cls.predictions.bias").stored }
            list[#list + 1] = { name = "bert.embeddings.position_ids", tensor = tensor.new("i64", { 1, 10 }) }
            list[#list + 1] = { name = "qa_outputs.bias", tensor = tensor.new("f32", { 2 }) }
            assert(storage.save(root .. "/model.safetensors", list))
            local report = checkpoint.load_pretrained(root, other)
            assert.are.same({ missing = {}, unexpected = { "qa_outputs.bias" } }, report)
            assert.are.equal(storage.crc32c(parts.store.value), storage.crc32c(other.store.value))
        end)

        it("leave out what is to be ignored, whatever its shape", function()
            local parts, other = make(1), make(2)
            local list = rename_all(parts, function(name) return name end)
            for _, item in ipairs(list) do
                if item.name:find "^bert%.pooler" then item.tensor = tensor.new("f32", { 3 }):fill(1) end
            end
            assert(storage.save(root .. "/model.safetensors", list))
            local own = storage.crc32c(other.store:get("bert.pooler.dense.weight").value)
            other.ignored = { "^bert%.pooler%." }
            assert.are.same({ missing = {}, unexpected = {} }, checkpoint.load_pretrained(root, other))
            assert.are.equal(own, storage.crc32c(other.store:get("bert.pooler.dense.weight").value))
            local name = "bert.embeddings.word_embeddings.weight"
            assert.are.equal(storage.crc32c(parts.store:get(name).value), storage.crc32c(other.store:get(name).value))
        end)

        it("are refused when the encoder is incomplete or a dtype is wrong", function()
            local parts = make(1)
            local list = rename_all(parts, function(name) return name end)
            list[#list].name = "bert.encoder.unheard.of"
            assert(storage.save(root .. "/model.safetensors", list))
            assert.error_matches(function() checkpoint.load_pretrained(root, parts) end,
                "has 1 tensor this model does not know %(bert.encoder.unheard.of%)")
            list[#list] = { name = "bert.pooler.dense.bias.x", tensor = tensor.new("i8", { 2 }) }
            list[1] = { name = list[1].name, tensor = tensor.new("i32", list[1].tensor:dims()) }
            assert(storage.save(root .. "/model.safetensors", list))
            assert.error_matches(function() checkpoint.load_pretrained(root, parts) end,
                "word_embeddings.weight is I32, expected F32, F16, BF16 or F64: convert the file first")
            overwrite(root .. "/model.safetensors", "something else, of some length")
            assert.error_matches(function() checkpoint.load_pretrained(root, parts) end,
                "model.safetensors: a text, not a safetensors file")
        end)

        it("export as a folder with tokenizer settings and no training state", function()
            local parts = make(1)
            parts.vocab_file = root .. "/words"
            overwrite(parts.vocab_file, "[PAD]\na\n")
            parts.do_lower_case = false
            checkpoint.export(root .. "/hf", parts)
            assert.are.same({ "checksums.json", "config.json", "model.safetensors", "tokenizer_config.json",
                "vocab.txt" }, fs.list(root .. "/hf"))
            assert.is_false(json.read(root .. "/hf/tokenizer_config.json").do_lower_case)
            local other = make(2)
            checkpoint.load_pretrained(root .. "/hf", other)
            assert.are.equal(storage.crc32c(parts.store.value), storage.crc32c(other.store.value))
        end)
    end)
end)
