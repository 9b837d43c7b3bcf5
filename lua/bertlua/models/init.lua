--- Models: BERT and its uses.

local bert = require "bertlua.models.bert"

local models = {
    BertConfig = bert.BertConfig,
    BertModel = bert.BertModel,
    BertForPretraining = bert.BertForPretraining,
    BertForQuestionAnswering = require "bertlua.models.question_answering",
    fill_mask = require("bertlua.models.fill_mask").fill_mask,
}

return setmetatable(models, {
    __names = { "answer" },
    -- Loaded on first use, as squad builds on models.
    __index = function(_, name)
        if name == "answer" then return require("bertlua.squad.reader").answer end
    end,
})
