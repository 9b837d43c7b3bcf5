--- Ask a fine-tuned model in one call: models.answer("results/bert-large-uncased/squad", question, context).

local M = {}

--- Answers to a question from a context, likeliest first.
-- @param model path of a fine-tuned model or checkpoint (it stays open for the next question), or an Answerer of
--   bertlua.squad.answerer
-- @tparam string question
-- @tparam string context
-- @tparam[opt] table options see Answerer:ask and answerer.open
-- @return list of {text, probability, start_logit, end_logit}; text "" is "no answer" (SQuAD v2.0)
-- @treturn table {answer = the text chosen, null_odds, windows}
function M.answer(model, question, context, options)
    for name, value in pairs { question = question or false, context = context or false } do
        if type(value) ~= "string" then
            error(("answer: the %s is a %s, expected a string"):format(name, type(value or nil)), 2)
        end
    end
    if type(model) == "string" then
        -- Not at the top: opening a model is squad's matter, and squad builds on models.
        model = require("bertlua.squad.answerer").shared(model, options)
    end
    local list, details = model:ask(question, context, options)
    return list, details
end

return M
