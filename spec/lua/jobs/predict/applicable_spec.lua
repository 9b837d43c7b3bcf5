--- Settings that a model has a use for.

local applicable = require "bertlua.jobs.predict.applicable"

describe("settings of some models", function()
    it("are taken by these, and refused by the others with what they are for", function()
        local takers = { threshold = "labels", label_separator = "labels", pooling = "embeddings",
            normalize = "embeddings", doc_stride = "tags answers",
            pair_column = "label labels numbers embeddings answers", top_k = "label labels answers mask" }
        for setting, uses in pairs(takers) do
            for _, use in ipairs { "label", "labels", "numbers", "tags", "embeddings", "answers", "mask" } do
                local ok, message = pcall(applicable.check, use, "MODEL", { [setting] = "command line" })
                assert.are.equal((" " .. uses .. " "):find(" " .. use .. " ", 1, true) ~= nil, ok, setting .. use)
                if not ok then
                    assert.matches("^%-%-" .. setting:gsub("_", "%%-") .. " is for .*, but MODEL %a+ .*: leave it out$",
                        tostring(message))
                end
            end
        end
        applicable.check("mask", "MODEL", { batch_size = "command line" })
        local _, message = pcall(applicable.check, "mask", "MODEL", { label_separator = "recipe" })
        assert.matches("^label_separator of the recipe is for ", tostring(message))
    end)

    it("go by what a classifier's outputs mean", function()
        local uses = {}
        for _, kind in ipairs { "single", "multiple", "values" } do
            uses[#uses + 1] = applicable.use({ kind = kind }, "labels")
        end
        assert.are.same({ "label", "labels", "numbers", "embeddings" },
            { uses[1], uses[2], uses[3], applicable.use({ kind = "single" }, "embeddings") })
    end)
end)
