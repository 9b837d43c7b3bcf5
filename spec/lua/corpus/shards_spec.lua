--- How many shards there are and how large they get. How documents are dealt: spec/engine/corpus/deal_spec.lua.

local fs = require "bertlua.util.fs"
local shards = require "bertlua.corpus.shards"

local MIB = 2 ^ 20

describe("shards", function()
    local job

    before_each(function() job = { output_dir = assert(fs.temporary_folder()), memory_limit = 2 ^ 30 } end)
    after_each(function() fs.remove(job.output_dir) end)

    --- A sentence file with this many documents.
    local function file_of(documents)
        local lines = {}
        for i = 1, documents do lines[i] = ("Mill %d is old.\nIt is grey.\n"):format(i) end
        local text = table.concat(lines, "\n")
        assert(fs.write(job.output_dir .. "/a.txt", text))
        return { path = "a.txt", bytes = #text }
    end

    local function plan(documents, settings)
        local made, parts = shards.plan(job, { file_of(documents) },
            { shards = settings.shards or 0, test_share = settings.test_share or 0, seed = 1 })
        local names, size = {}, 0
        for i, part in ipairs(parts) do names[i], size = part.name, size + part.size end
        return made, names, size
    end

    it("are one for a small text, or as many as requested", function()
        local made, names, size = plan(20, {})
        assert.are.same({ 1, 0 }, { made.training, made.test })
        assert.are.same({ "training_0000" }, names)
        assert.is_true(size > 20 * 25)
        assert.are.same({ "training_0000", "training_0001", "training_0002" }, (select(2, plan(20, { shards = 3 }))))
    end)

    it("hold out a share for testing, in at least one shard of its own", function()
        local made, names = plan(400, { shards = 4, test_share = 0.2 })
        assert.are.same({ 4, 1 }, { made.training, made.test })
        assert.are.equal("test_0000", names[5])
    end)

    it("hold every sentence once, a blank line between documents", function()
        local made = plan(20, { shards = 2 })
        assert(fs.mkdirs(job.output_dir .. "/shards"))
        local sentences, documents, seen = 0, 0, {}
        for i = 1, 2 do
            local record = shards.run(job, job.output_dir .. "/shards", made)({ shard = i,
                name = ("training_%04d"):format(i - 1) }, function() end)
            local file = record.files[1]
            sentences, documents = sentences + file.sentences, documents + file.documents
            for number in fs.read(fs.join(job.output_dir, file.path)):gmatch "Mill (%d+) is old%.\nIt is grey%.\n\n" do
                assert.is_nil(seen[number])
                seen[number] = true
            end
        end
        assert.are.same({ 40, 20 }, { sentences, documents })
        for i = 1, 20 do assert.is_true(seen[tostring(i)]) end
    end)

    it("cannot outnumber the documents, nor all be for testing", function()
        assert.error_matches(function() plan(3, { shards = 5 }) end,
            "^5 shards of 3 documents: set shards to at most 3, or check that documents are separated by blank lines$")
        assert.error_matches(function() plan(1, { shards = 2 }) end, "^2 shards of 1 document: set shards to at most 1")
        assert.error_matches(function() plan(2, { test_share = 1 - 1e-9 }) end,
            "^all documents %(2%) would be for testing: lower test_share, or provide more text$")
        assert.error_matches(function() plan(0, {}) end, ": the sentence files contain no documents$")
    end)

    it("have an estimated size, from which memory is planned", function()
        assert.are.equal(25 * MIB, shards.largest({ shards = 4, test_share = 0 }, 100 * MIB))
        assert.are.equal(5 * MIB, shards.largest({ shards = 0, test_share = 0 }, 100 * MIB))
        -- A tenth for testing makes ten test shards beside 90 for training.
        assert.is_near(10 * MIB, shards.largest({ shards = 90, test_share = 0.1 }, 100 * MIB) * 10, 1)
        assert.are.equal(5 * MIB, shards.largest({ shards = 0, test_share = 0.1 }))
        assert.are.equal(0, shards.largest({ shards = 4, test_share = 0.1 }))
        assert.is_true(shards.memory { size = 20 * MIB } > shards.memory { size = 10 * MIB })
    end)

    it("are compared by size, training shards only", function()
        local function file(name, bytes) return { path = "shards/" .. name, bytes = bytes } end
        assert.is_near(0.2, shards.spread { file("training_0000.txt", 90), file("training_0001.txt", 110),
            file("test_0000.txt", 5) }, 1e-12)
        assert.are.equal(0, shards.spread { file("test_0000.txt", 5) })
    end)
end)
