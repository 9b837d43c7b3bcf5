--- Names of labels: of data, and of a model that was trained.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"
local labels = require "bertlua.jobs.common.labels"

describe("labels", function()
    it("of data are sorted, numerically if all are numbers", function()
        local function distinct(list)
            return labels.distinct(function(visit)
                for _, label in ipairs(list) do visit(label) end
            end)
        end
        assert.are.same({ { "b", "c" }, { b = 2, c = 1 } }, { distinct { "c", "b", "b" } })
        assert.are.same({ "2", "10" }, (distinct { "10", "2" }))
        assert.are.same({ "10", "2", "x" }, (distinct { "x", "10", "2" }))
    end)

    describe("of a trained model", function()
        local folder
        before_each(function() folder = assert(fs.temporary_folder "labels_spec") end)
        after_each(function() fs.remove(folder) end)

        local function trained(changes)
            local config = { vocab_size = 10, hidden_size = 2, num_hidden_layers = 1, num_attention_heads = 1,
                intermediate_size = 4, architectures = { "BertForSequenceClassification" } }
            for key, value in pairs(changes) do config[key] = value end
            assert(fs.write(folder .. "/config.json", json.encode(config)))
            return labels.trained({ work = {}, start = { kind = "parameters", path = folder } }, {})
        end

        it("are those of its config.json", function()
            assert.are.same({ { "no", "yes" } }, { trained { id2label = { ["0"] = "no", ["1"] = "yes" } } })
            assert.are.same({ { "x" }, "regression" },
                { trained { id2label = { ["0"] = "x" }, problem_type = "regression" } })
        end)

        it("are numbered where transformers leaves them out", function()
            assert.are.same({ "LABEL_0", "LABEL_1" }, (trained {}))
            assert.are.same({ "LABEL_0", "LABEL_1", "LABEL_2" }, (trained { num_labels = 3 }))
            for _, changes in ipairs { { architectures = { "BertForMaskedLM" } }, { num_labels = 1e9 },
                { num_labels = "2" } } do
                local ok, problem = pcall(trained, changes)
                assert.is_false(ok)
                assert.is_true(fault.is(problem), tostring(problem))
                assert.matches("contains no id2label: the names of the model's labels are unknown", tostring(problem))
            end
        end)

        it("are none where a run trains from the start", function()
            for _, start in ipairs { { kind = "fresh" }, { kind = "parameters", path = folder } } do
                assert.is_nil(labels.trained({ work = { train = true }, start = start }, {}))
            end
        end)
    end)
end)
