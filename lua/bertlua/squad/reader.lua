--- One question, one context, the best answers: a fine-tuned model with its vocabulary, ready to answer questions.
--
--     local reader = require "bertlua.squad.reader"
--     local model = reader.open("results/bert-large-uncased/squad")
--     local best = model:ask("Who wrote it?", "It was written by Ada.")[1]
--     print(best.text, best.probability)
--
-- For files of questions, see bertlua.jobs.squad.task.
-- @module bertlua.squad.reader

local BertConfig = require "bertlua.models.bert_config"
local BertForQuestionAnswering = require "bertlua.models.question_answering"
local paths = require "bertlua.paths"
local Tape = require "bertlua.autograd.tape"
local extraction = require "bertlua.squad.extraction"
local checkpoint = require "bertlua.train.checkpoint"
local dataset = require "bertlua.squad.dataset"
local fault = require "bertlua.fault"
local features = require "bertlua.squad.features"
local folder = require "bertlua.weights.folder"
local fs = require "bertlua.util.fs"
local heads = require "bertlua.weights.heads"
local json = require "bertlua.util.json"
local model_home = require "bertlua.train.model_home"
local posix_stat = require "posix.sys.stat"
local predict = require "bertlua.squad.predict"
local text = require "bertlua.squad.text"
local tokenizer = require "bertlua.text.tokenizer"
local vocabulary = require "bertlua.weights.vocabulary"
local weights = require "bertlua.train.weights"

local reader = {}

-- Settings that apply both when fine-tuning a model and when asking it.
reader.SETTINGS = { "version_2_with_negative", "max_seq_length", "doc_stride", "max_query_length" }

local Reader = {}
Reader.__index = Reader

--- The folder with the parameters that a path refers to, and their file.
local function home_of(path, model_prefix)
    local home, file, reason, is_all = model_home.find(path, model_prefix)
    if not home then fault.raise(reason .. (is_all and "" or model_home.hint(path))) end
    return home, file
end

--- Write the fine-tuning settings that also apply when asking, next to the model. Returns true; or nil, message.
-- @tparam string path folder
-- @tparam table values those named in reader.SETTINGS
function reader.write_settings(path, values)
    local kept = {}
    for _, name in ipairs(reader.SETTINGS) do kept[name] = values[name] end
    return fs.write(fs.join(path, "squad_settings.json"),
        json.encode(kept, { pretty = true, order = reader.SETTINGS }) .. "\n")
end

--- These settings of a model or checkpoint; an empty table if none are recorded.
function reader.read_settings(path)
    local progress = checkpoint.progress(path) or {}
    -- Checkpoints of older versions hold them beside the step.
    return folder.read_json(path, "squad_settings.json") or progress.began and progress.began.settings or progress
end

--- Vocabulary and casing of a model.
local function words_of(home, options, config)
    local vocab_file = options.vocab_file or vocabulary.beside(home)
    if not vocab_file then
        fault.raisef("%s holds neither vocab.txt nor tokenizer.json: name the vocabulary with vocab_file "
            .. "(--vocab-file)", home)
    end
    paths.check_vocabulary(vocab_file, "")
    local lower = options.do_lower_case
    if lower == nil then lower = folder.casing(home, checkpoint.progress(home)) end
    if lower == nil then lower = vocabulary.casing(vocab_file) ~= false end
    local words = tokenizer.load(vocab_file, { do_lower_case = lower })
    folder.check_size(config.vocab_size, words:size(), { vocab_file = vocab_file, model = home,
        own = not options.vocab_file })
    return words, vocab_file
end

--- Open a fine-tuned model.
-- @tparam string path folder of the model, of a checkpoint, or of checkpoints
-- @tparam[opt] table options vocab_file, do_lower_case (default: those of the model), model_prefix, precision ("fp32")
-- @return Reader: fields model, tokenizer, folder, trained (settings of its fine-tuning)
function reader.open(path, options)
    if type(path) ~= "string" then error("reader.open: path is a " .. type(path) .. ", expected a string", 2) end
    options = options or {}
    local home, file = home_of(path, options.model_prefix)
    local config_file = fs.join(home, "config.json")
    if not fs.is_file(config_file) then fault.raisef("%s holds no config.json", home) end
    local opened = weights.open(file)
    local found = heads.of(opened, heads.class_of(BertConfig.read(config_file)))
    opened:close()
    heads.need(found, "answers", file)
    local config = BertConfig.load(config_file)
    local words, vocab_file = words_of(home, options, config)
    local model = BertForQuestionAnswering.new(config)
    model.store:allocate { precision = options.precision or "fp32", training = false }
    -- A head that is missing is a fault: it would answer at random.
    checkpoint.load_pretrained(home, { store = model.store, config = config,
        vocab_file = vocab_file, do_lower_case = words.do_lower_case, model_prefix = options.model_prefix,
        missing = {} })
    return setmetatable({ model = model, tokenizer = words, folder = home, tape = Tape.new(),
        trained = reader.read_settings(home) }, Reader)
end

-- Models that stay open: by path, {key=, model=}.
local shared = {}

--- Open a model, or reuse the one already open from the same path unless its file or the options have changed.
-- Do not close it. Parameters as for open.
function reader.shared(path, options)
    options = options or {}
    local _, file = home_of(path, options.model_prefix)
    local info = file and posix_stat.stat(file)
    local stamp = info and ("%d %d %d"):format(info.st_ino, info.st_mtime, info.st_size) or ""
    local key = table.concat({ tostring(file), stamp, tostring(options.precision),
        tostring(options.vocab_file), tostring(options.do_lower_case) }, "\n")
    local entry = shared[path]
    if entry and entry.key == key then return entry.model end
    local model = reader.open(path, options)
    if entry then entry.model:close() end
    shared[path] = { key = key, model = model }
    return model
end

--- Settings for windows and answers: as given in the call, else as in the fine-tuning, else the defaults.
local function settings_of(self, options)
    local values = { num_workers = 1 }
    for _, list in ipairs { features.settings, extraction.settings } do
        for _, setting in ipairs(list) do
            local value = options[setting.name]
            if value == nil then value = self.trained[setting.name] end
            if value == nil then value = values[setting.name] end
            if value == nil then value = setting.default end
            values[setting.name] = value
        end
    end
    local negative = options.version_2_with_negative
    if negative == nil then negative = self.trained.version_2_with_negative or false end
    values.version_2_with_negative = negative
    local limit = self.model.config.max_position_embeddings
    if options.max_seq_length == nil then values.max_seq_length = math.min(values.max_seq_length, limit) end
    if options.max_query_length == nil then
        values.max_query_length = math.min(values.max_query_length, math.floor(values.max_seq_length / 2))
    end
    if values.max_seq_length > limit then
        fault.raisef("max_seq_length is %d, but the model has max_position_embeddings %d", values.max_seq_length, limit)
    end
    return values
end

--- The question and context as an example; raises a fault if either is empty.
local function example_of(self, question, context, values)
    for name, value in pairs { question = question, context = context } do
        local bad = text.invalid_byte(value)
        if bad then fault.raisef("the %s is not UTF-8 at byte %d", name, bad) end
    end
    local _, tokens = self.tokenizer:encode_array(question)
    if tokens == 0 then fault.raise("the question is empty") end
    if tokens > values.max_query_length then
        fault.raisef("the question has %d tokens, expected at most %d: shorten it or raise max_query_length", tokens,
            values.max_query_length)
    end
    _, tokens = self.tokenizer:encode_array(context)
    if tokens == 0 then fault.raise("the context is empty: there is nothing to find an answer in") end
    local examples = dataset.examples("the question", { data = { { paragraphs = { {
        context = context, qas = { { id = "question", question = question } },
    } } } } }, { version_2_with_negative = values.version_2_with_negative })
    return examples
end

--- Answers to a question, likeliest first.
-- A long context is read in windows that overlap.
-- @tparam string question
-- @tparam string context
-- @tparam[opt] table options max_seq_length, doc_stride, max_query_length, n_best_size, max_answer_length,
--   version_2_with_negative, null_score_diff_threshold (default: as the model was fine-tuned), batch_size (8)
-- @return list of {text, probability, start_logit, end_logit}; with version_2_with_negative one of them has the text
--   "": no answer. So has the only one where no part of the context can be an answer
-- @treturn table {answer = the text chosen, "" for none; null_odds = score of no answer minus the best answer's, v2.0
--   only; windows}
function Reader:ask(question, context, options)
    options = options or {}
    local values = settings_of(self, options)
    local examples = example_of(self, question, context, values)
    local set = features.convert(examples, self.tokenizer, values)
    local starts, ends = predict.run(self.model, self.tape, set, { batch_size = options.batch_size or 8 })
    values.tokenizer, values.layout = self.tokenizer, "packed"
    local predictions, n_best, null_odds = extraction.extract(examples, set, starts, ends, values)
    local list, answer = n_best.question, predictions.question
    -- Where no span can be an answer, files of SQuAD say "empty", which is no part of the context.
    local only = #list == 1 and list[1]
    if only and only.text == "empty" and only.start_logit == 0 and only.end_logit == 0 then
        only.text, answer = "", ""
    end
    return list, { answer = answer, null_odds = null_odds.question, windows = set.count }
end

--- Ask in one call: bl.models.answer("results/bert-large-uncased/squad", question, context).
-- @param model path of a fine-tuned model or checkpoint (it stays open for the next question), or a Reader
-- @tparam string question
-- @tparam string context
-- @tparam[opt] table options see Reader:ask and reader.open
-- @return as Reader:ask
function reader.answer(model, question, context, options)
    for name, value in pairs { question = question or false, context = context or false } do
        if type(value) ~= "string" then
            local kind = value and "a " .. type(value) or "nil"
            error(("answer: the %s is %s, expected a string"):format(name, kind), 2)
        end
    end
    if type(model) == "string" then model = reader.shared(model, options) end
    local list, details = model:ask(question, context, options)
    return list, details
end

--- Free the memory.
function Reader:close()
    self.tape:close()
    self.model.store:free()
end

return reader
