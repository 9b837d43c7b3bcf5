--- Sets of samples and the parts they make. What is in the files: spec/lua/data/create_pretraining_spec.lua.

local samples = require "bertlua.corpus.samples"

describe("samples", function()
    it("come in sets, each with a length and a number of masked tokens", function()
        assert.are.same({
            { max_seq_length = 128, max_predictions_per_seq = 20, folder = "seq128_pred20" },
            { max_seq_length = 512, max_predictions_per_seq = 80, folder = "seq512_pred80" },
        }, samples.sets "128:20, 512:80")
        for text, pattern in pairs {
            [""] = "sets: empty", [" , "] = "sets: empty", ["128"] = 'got "128"', ["128:0"] = 'got "128:0"',
            ["7:1"] = 'got "7:1"', ["4097:1"] = 'got "4097:1"', ["16:17"] = 'got "16:17"', ["16:5,x"] = 'got "16:5,x"',
            ["16:5,32:5,16:5"] = '^sets: 16:5 stands there twice in "16:5,32:5,16:5"$',
        } do
            assert.error_matches(function() samples.sets(text) end, pattern)
        end
    end)

    it("are made shard by shard, test shards with seeds of their own", function()
        local files = { { path = "shards/training_0007.txt", bytes = 90 },
            { path = "shards/test_0007.txt", bytes = 10 } }
        local parts = samples.parts(files, samples.sets "32:5,64:10")
        local names, targets, numbers = {}, {}, {}
        for i, part in ipairs(parts) do names[i], targets[i], numbers[part.number] = part.name, part.target, true end
        assert.are.same({ "seq32_pred5-training_0007", "seq32_pred5-test_0007", "seq64_pred10-training_0007",
            "seq64_pred10-test_0007" }, names)
        assert.are.same({ "training_0007.hdf5", "test_0007.hdf5", "training_0007.hdf5", "test_0007.hdf5" }, targets)
        assert.are.same({ [7] = true, [1000007] = true }, numbers)
        assert.are.same({ 90, files[1], 64 }, { parts[3].size, parts[3].file, parts[3].set.max_seq_length })
    end)

    it("take more memory for more text, more passes, and uncompressed files", function()
        local function need(size, dupe_factor, gzip)
            return samples.memory { dupe_factor = dupe_factor, gzip = gzip } { size = size }
        end
        assert.is_true(need(2e6, 5, 4) > need(1e6, 5, 4))
        assert.is_true(need(1e6, 10, 4) > need(1e6, 5, 4))
        assert.is_true(need(1e6, 5, 0) > need(1e6, 5, 4))
    end)
end)
