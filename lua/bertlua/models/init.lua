--- Models: BERT and what is done with it.

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
    -- When it is first asked for: squad builds on models.
    __index = function(_, name)
        if name == "answer" then return require("bertlua.squad.reader").answer end
    end,
})
