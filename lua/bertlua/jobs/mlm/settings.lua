--- The settings of going on with pre-training on texts of one's own.

local settings = require "bertlua.jobs.common.settings"
local text_source = require "bertlua.data.text_source"

local FORMS = "a file, a folder, a pattern (\"texts/*.txt\"), or several, separated by commas"

--- Those of texts, whose group is named here.
local function of_texts()
    local list = {}
    for i, setting in ipairs(text_source.settings) do
        list[i] = {}
        for key, value in pairs(setting) do list[i][key] = value end
        list[i].group = nil
    end
    return list
end

return settings.finetuning({
    { "Data", {
        { name = "train_file", type = "path", passing = "its bytes are compared",
            help = "texts to train on (plain, JSON lines or WikiExtractor's, compressed or not): " .. FORMS
                .. "; unset: no training" },
        { name = "dev_file", type = "path", passing = "measured anew in each run",
            help = "texts to evaluate on, while training too; unset: dev_share of train_file" },
        { name = "test_file", type = "path", passing = "measured anew in each run",
            help = "texts to evaluate on at the end; unset: none" },
        { name = "dev_share", type = "number", min = 0, max = 0.5, default = 0.05,
            help = "share of train_file that is held out to evaluate on, where there is no dev_file: whole documents "
                .. "if there are enough of them; 0: none" },
        { name = "border", type = "choice", choices = { "auto", "heading", "blank", "line", "none" },
            default = "auto",
            help = "what separates the documents in a file of plain text; line: each line is one; auto: headings "
                .. "(\" = Title = \") if it has them, else blank lines if it is the only file, else nothing" },
        { name = "locale", type = "string", default = "en@ss=standard",
            help = "ICU locale whose sentence rules split the text, for next_sentence and pseudo_perplexity" },
    } },
    { "Data", of_texts() },
    { "Data", {
        { name = "max_seq_length", type = "integer", min = 8, max = 4096, default = 128,
            help = "tokens per sequence; the text fills them all" },
    } },
    { "Masking", {
        { name = "masked_lm_prob", type = "number", above = 0, below = 1, default = 0.15,
            help = "share of the tokens that are masked; of these 80 % become [MASK], 10 % stay, 10 % become a random "
                .. "word" },
        { name = "whole_word_masking", type = "boolean", default = false,
            help = "mask whole words: the pieces that begin with ## go with the one before them" },
        { name = "max_predictions_per_seq", type = "integer", min = 1,
            help = "maximum masked tokens per sequence; unset: as many as masked_lm_prob says" },
        { name = "next_sentence", type = "boolean", default = false, fixed = true,
            help = "learn next sentences too: sequences are pairs, half of them with a random second part" },
    } },
    { "Evaluation", {
        { name = "pseudo_perplexity", type = "integer", min = 0, passing = "measured anew in each run", default = 100,
            help = "sentences of held-out text to measure the pseudo-perplexity on, each of whose tokens is masked in "
                .. "turn; 0: not measured" },
    } },
    { "Job", {
        { name = "output_dir",
            help = "the model goes to OUTPUT_DIR/model, figures to OUTPUT_DIR/eval.json, checkpoints to "
                .. "OUTPUT_DIR/checkpoints" },
    } },
}, settings.usual())
