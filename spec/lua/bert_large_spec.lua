--- Settings that the published recipes share. The values themselves: spec/lua/recipe_spec.lua.

local bert_large = require "bertlua.bert_large"

describe("settings of BERT-large", function()
    it("take the recipe's own values", function()
        local settings = bert_large.pretraining { common = { amp = true }, phase2 = { batch_size = 32, max_steps = 9 } }
        assert.are.equal("bert-large-uncased", settings.common.bert_model)
        assert.is_true(settings.common.amp)
        assert.are.same({ 7038, 9, 32 }, { settings.phase1.max_steps, settings.phase2.max_steps,
            settings.phase2.batch_size })
        local squad = bert_large.squad { world_size = 8, epochs = 3 }
        assert.are.same({ 384, 8, 3 }, { squad.max_seq_length, squad.world_size, squad.epochs })
    end)

    it("are not changed by it", function()
        bert_large.pretraining({ phase1 = { max_steps = 1 } }).phase1.max_seq_length = 1
        bert_large.squad { epochs = 1 }
        local again = bert_large.pretraining {}
        assert.are.same({ 7038, 128 }, { again.phase1.max_steps, again.phase1.max_seq_length })
        assert.are.equal(2, bert_large.squad({}).epochs)
    end)

    it("have no other groups", function()
        assert.has_error(function() bert_large.pretraining { phase3 = {} } end,
            "bert_large.pretraining: got phase3, expected common, phase1 or phase2")
    end)
end)
