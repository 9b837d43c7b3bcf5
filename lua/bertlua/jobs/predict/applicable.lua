--- Settings that only some models have a use for: given with another one they would do nothing in silence.

local fault = require "bertlua.fault"
local settings = require "bertlua.settings"

local M = {}

-- What a model, or a file of predictions, may be for, and how messages say it.
local USES = {
    label = "gives a text one label", labels = "gives a text several labels", numbers = "gives a text numbers",
    tags = "tags words", embeddings = "makes embeddings", answers = "answers questions", mask = "fills masks",
}

-- What a setting is for, and for which uses.
local LIMITED = {
    { "threshold", "models of several labels a text", { "labels" } },
    { "label_separator", "models of several labels a text", { "labels" } },
    { "pooling", "embeddings", { "embeddings" } },
    { "normalize", "embeddings", { "embeddings" } },
    { "doc_stride", "tags and answers", { "tags", "answers" } },
    { "pair_column", "labels, numbers, embeddings and answers",
        { "label", "labels", "numbers", "embeddings", "answers" } },
    { "top_k", "labels, answers and masked words", { "label", "labels", "answers", "mask" } },
}

local OF_LABELS = { single = "label", multiple = "labels", values = "numbers" }

--- What a model is for: one of the uses.
-- @param model of bl.load
-- @param kind name of a kind (kinds.lua)
function M.use(model, kind)
    return kind == "labels" and OF_LABELS[model.kind] or kind
end

--- Refuse settings that were given and that a use has no need of.
-- @param use as above
-- @param name what messages call the model, or the file of predictions
-- @param sources name of each setting that was given to where, as Spec:parse returns it
function M.check(use, name, sources)
    for _, entry in ipairs(LIMITED) do
        local fits = not sources[entry[1]]
        for _, one in ipairs(entry[3]) do fits = fits or one == use end
        if not fits then
            local shown = sources[entry[1]] == "recipe" and entry[1] .. " of the recipe"
                or settings.option(entry[1])
            fault.raisef("%s is for %s, but %s %s: leave it out", shown, entry[2], name, USES[use])
        end
    end
end

return M
