--- Makes pre-training shards from text: documents are dealt to shards, and each
-- shard is tokenised, sampled, masked and written independently, so that any
-- number of processes gives the same files. The settings are named as in the
-- reference's create_pretraining_data.
-- @module bertlua.data.create_pretraining

local array = require "bertlua.array"
local document_files = require "bertlua.data.document_files"
local data = require "bertlua.data"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local instances = require "bertlua.data.instances"
local paths = require "bertlua.paths"
local plural = require "bertlua.util.plural"
local random = require "bertlua.rng"
local sample_checks = require "bertlua.data.sample_checks"
local text_source = require "bertlua.data.text_source"
local vocabulary_file = require "bertlua.text.vocabulary_file"
local workers = require "bertlua.data.workers"

local create = {}

-- With shards = 0: this much text per shard, about 150 MB once loaded with dupe_factor 10.
local BYTES_PER_SHARD = 8 * 1024 * 1024
-- Streams of the seed: shard k samples from stream k and masks its instances from stream MASK_STREAMS * k on.
local MASK_STREAMS = 2 ^ 32

--- The settings, in the form bertlua.settings expects.
create.settings = {
    { name = "input_dir", type = "path", group = "Text",
      help = "folder of .txt files: one sentence per line, a blank line between documents" },
    { name = "input_files", type = "string", group = "Text", help = "comma-separated files, instead of input_dir" },
    { name = "output_dir", type = "path", group = "Text", help = "folder for the .hdf5 shards" },
    { name = "prefix", type = "string", default = "corpus", group = "Text",
      help = "files are named PREFIX_training_N.hdf5 and PREFIX_test_N.hdf5" },
    { name = "overwrite", type = "boolean", default = false, group = "Text",
      help = "remove existing shards with the same prefix from output_dir" },
    { name = "vocab_file", type = "path", find = paths.vocabulary, group = "Tokenizer",
      help = "WordPiece vocabulary, one token per line: a path, or a name in bertlua's vocab/" },
    { name = "do_lower_case", type = "boolean", default = true, group = "Tokenizer",
      help = "lower-case and strip accents; must match the vocabulary" },
    { name = "max_seq_length", type = "integer", default = 128, min = 8, max = 4096, group = "Samples",
      help = "tokens per sample" },
    { name = "max_predictions_per_seq", type = "integer", default = 20, min = 1, max = 4096, group = "Samples",
      help = "maximum masked tokens per sample" },
    { name = "masked_lm_prob", type = "number", default = 0.15, above = 0, max = 1, group = "Samples",
      help = "fraction of tokens that are masked" },
    { name = "short_seq_prob", type = "number", default = 0.1, min = 0, max = 1, group = "Samples",
      help = "fraction of samples with a shorter target length" },
    { name = "dupe_factor", type = "integer", default = 10, min = 1, group = "Samples",
      help = "passes over the text, each with new samples and masks" },
    { name = "random_seed", type = "integer", default = 12345, min = 0, group = "Samples",
      help = "the same seed gives the same shards for any num_workers" },
    { name = "shards", type = "integer", default = 0, min = 0, group = "Output",
      help = "number of files; 0: one per 8 MB of text" },
    { name = "test_share", type = "number", default = 0, min = 0, below = 1, group = "Output",
      help = "fraction of the shards held out for evaluation (at least one shard if above 0)" },
    { name = "num_workers", type = "integer", default = 1, min = 1, max = 1024, group = "Output", help = "processes" },
    { name = "gzip", type = "integer", default = 1, min = 0, max = 9, group = "Output", help = "compression level" },
}

--- Text files of the settings, sorted.
local function input_files(values)
    local files = {}
    if values.input_files and values.input_dir then
        fault.raise("input_dir and input_files are both set: set only one of them")
    elseif values.input_files then
        if type(values.input_files) == "table" then return values.input_files end
        for path in values.input_files:gmatch("[^,]+") do files[#files + 1] = path end
    elseif values.input_dir then
        local names = fs.is_directory(values.input_dir) and fs.list(values.input_dir)
        if not names then fault.raisef("%s: no such folder; input_dir must hold .txt files", values.input_dir) end
        for _, name in ipairs(names) do
            if name:match("%.txt$") then files[#files + 1] = fs.join(values.input_dir, name) end
        end
        if #files == 0 then
            fault.raise(("%s: contains no text (no *.txt among %s)"):format(values.input_dir,
                plural.count(#names, "entry", "entries")))
        end
    else
        fault.raise("no text given: set input_dir (a folder of .txt files) or input_files")
    end
    return files
end

--- Older shards of the same prefix in the output folder; a fault if they may not be removed.
local function old_shards(values)
    if not values.output_dir then fault.raise("output_dir is not set: name the folder for the shards") end
    local old = {}
    for _, name in ipairs(fs.is_directory(values.output_dir) and fault.check(fs.list(values.output_dir)) or {}) do
        local rest = name:sub(1, #values.prefix) == values.prefix and name:sub(#values.prefix + 1)
        if rest and (rest:match("^_training_%d+%.hdf5") or rest:match("^_test_%d+%.hdf5")) then
            old[#old + 1] = fs.join(values.output_dir, name)
        end
    end
    if #old > 0 and not values.overwrite then
        fault.raisef("%s: already contains shards with prefix %s (%d, such as %s); choose another output_dir or "
            .. "prefix, or set overwrite", values.output_dir, values.prefix, #old, fs.basename(old[1]))
    end
    return old
end

--- Create the output folder, and remove older shards from it.
local function prepare_output(values)
    local old = old_shards(values)
    fault.check(fs.mkdirs(values.output_dir))
    for _, path in ipairs(old) do fault.check(fs.remove(path)) end
end

--- Number of shards, and how many of them are for testing.
local function shard_counts(values, documents)
    local count = documents:count()
    local shards = values.shards
    if shards == 0 then
        shards = math.max(1, math.ceil(documents.bytes / BYTES_PER_SHARD))
        if values.test_share > 0 then shards = math.max(shards, math.ceil(1 / values.test_share)) end
        shards = math.min(shards, math.max(1, math.floor(count / 2)))
    end
    local test = 0
    if values.test_share > 0 then test = math.max(1, math.floor(shards * values.test_share + 0.5)) end
    if shards > count then
        fault.raise(("%d shards of %s: set shards to at most %d (separate documents by blank lines)")
            :format(shards, plural.count(count, "document"), count))
    end
    if test >= shards then
        fault.raise(("test_share %g of %s leaves none to train on; change shards or test_share")
            :format(values.test_share, plural.count(shards, "shard")))
    end
    return shards, test
end

local function shard_path(values, shard, training)
    local name = shard <= training and ("%s_training_%d.hdf5"):format(values.prefix, shard - 1)
        or ("%s_test_%d.hdf5"):format(values.prefix, shard - training - 1)
    return fs.join(values.output_dir, name)
end

--- Everything for one shard.
local function make_shard(job, shard, report)
    local values = job.values
    local text = document_files.tokenize(job.documents, job.order, job.plan[shard], job.tokenizer, report)
    if text.sentences == 0 then
        fault.raise(("shard %d of %d has no tokens to learn from; use fewer shards or check the text")
            :format(shard, #job.plan))
    end
    local rng = random.new(values.random_seed, shard)
    local list, made = instances.create(text, rng, values, data.instance_list())
    local order = array.int64(list.count)
    for i = 0, list.count - 1 do order[i] = i end
    rng:shuffle(order, list.count)
    local path = shard_path(values, shard, job.training)
    fault.check(data.write_shard(path, {
        max_seq_length = values.max_seq_length,
        gzip = values.gzip,
        seed = values.random_seed,
        stream = shard * MASK_STREAMS,
        vocabulary = job.vocabulary,
    }, job.masking, text.tokens, list, order))
    return {
        documents = text.documents,
        sentences = text.sentences,
        tokens = text.token_count,
        instances = list.count,
        random = made.random,
        positions = made.positions,
        masked = made.masked,
        short = text.counts.short,
        unknown = text.counts.unknown,
        left_out = text.counts.left_out,
        bytes = text.bytes,
        file_bytes = fs.size(path) or 0,
    }
end

--- Make all shards; a job that fails leaves none behind, so that half a data set is never mistaken for a complete one.
local function run_workers(job, on_progress)
    local pids = {}
    local good, results = pcall(workers.run, job.values.num_workers, #job.plan,
        function(shard, report) return make_shard(job, shard, report) end,
        on_progress and function(more) on_progress(more, job.documents.bytes) end,
        function(stopped) pids = stopped end)
    if good then return results end
    for shard = 1, #job.plan do
        local path = shard_path(job.values, shard, job.training)
        if fs.exists(path) then fs.remove(path) end
        for _, pid in ipairs(pids) do
            if fs.exists(path .. ".tmp-" .. pid) then fs.remove(path .. ".tmp-" .. pid) end
        end
    end
    error(results, 0)
end

--- A new table of values with the defaults filled in.
local function with_defaults(options)
    local values = {}
    for _, setting in ipairs(create.settings) do
        values[setting.name] = options[setting.name]
        if values[setting.name] == nil then values[setting.name] = setting.default end
    end
    return values
end

local function check_tokenizer(tokenizer, values)
    for _, name in ipairs { "cls_id", "sep_id", "mask_id" } do
        if not tokenizer[name] then
            fault.raise(("%s: the vocabulary has no %s"):format(tostring(values.vocab_file),
                ({ cls_id = "[CLS]", sep_id = "[SEP]", mask_id = "[MASK]" })[name]))
        end
    end
    return data.masking {
        probability = values.masked_lm_prob,
        max_predictions = values.max_predictions_per_seq,
        vocab_size = tokenizer:size(),
        cls_id = tokenizer.cls_id,
        sep_id = tokenizer.sep_id,
        mask_id = tokenizer.mask_id,
    }
end

--- The note that ties shards to their vocabulary and that the loader checks; nil for a tokenizer without a file.
local function vocabulary_note(tokenizer)
    if not tokenizer.vocab_file then return nil end
    local identity = vocabulary_file.identity(tokenizer.vocab_file, tokenizer.do_lower_case)
    return ("sha256:%s %s"):format(identity, tokenizer.do_lower_case and "uncased" or "cased")
end

--- The tokenizer and the masking; a fault if the vocabulary does not fit.
local function open_tokenizer(values, tokenizer)
    if values.max_predictions_per_seq > values.max_seq_length then
        fault.raise(("max_predictions_per_seq %d exceeds max_seq_length %d"):format(values.max_predictions_per_seq,
            values.max_seq_length))
    end
    if not tokenizer then
        if not values.vocab_file then fault.raise("vocab_file is not set: name a WordPiece vocabulary") end
        paths.check_vocabulary(values.vocab_file)
        tokenizer = require("bertlua.text.tokenizer").load(values.vocab_file, { do_lower_case = values.do_lower_case })
    end
    return tokenizer, check_tokenizer(tokenizer, values)
end

--- What can be wrong before the text is read, which may take hours to get ready: a vocabulary that is missing or does
-- not fit, shards that are there already.
-- @tparam table options as for run
function create.check(options)
    local values = with_defaults(options)
    old_shards(values)
    open_tokenizer(values, options.tokenizer)
end

--- Run the whole job.
-- @tparam table options the settings above by name (input_files may be a list); tokenizer = a loaded one instead of
--   vocab_file; checked = true: the files are known to be UTF-8; on_progress = function(additional bytes, total bytes)
-- @return summary {documents, sentences, tokens, instances, bytes, file_bytes, shards, test_shards}, and what
--   bertlua.data.sample_checks looks at: single (shards with only one document, whose samples cannot have a random
--   next sentence), repeated, short, unknown, left_out, random, positions,
--   masked
function create.run(options)
    local values = with_defaults(options)
    local files = input_files(values)
    local tokenizer, masking = open_tokenizer(values, options.tokenizer)
    if not options.checked then
        for _, path in ipairs(files) do text_source.check(path) end
    end
    local documents = document_files.scan(files)
    if documents:count() == 0 then
        fault.raise(("%s: contains no documents, only blank lines"):format(values.input_dir or files[1]))
    end
    local shards, test = shard_counts(values, documents)
    prepare_output(values)
    local plan, order = document_files.deal(documents, shards, values.random_seed)
    local job = {
        values = values,
        documents = documents,
        plan = plan,
        order = order,
        tokenizer = tokenizer,
        masking = masking,
        vocabulary = vocabulary_note(tokenizer),
        training = shards - test,
    }
    local results = run_workers(job, options.on_progress)
    local summary = { documents = 0, sentences = 0, tokens = 0, instances = 0, bytes = 0, file_bytes = 0, single = 0,
        random = 0, positions = 0, masked = 0, short = 0, unknown = 0, left_out = 0, repeated = documents:repeated() }
    for shard = 1, shards do
        for name, value in pairs(results[shard]) do summary[name] = summary[name] + value end
        if results[shard].documents == 1 then summary.single = summary.single + 1 end
    end
    summary.shards, summary.test_shards = shards, test
    return summary
end

--- What is wrong with the samples, one line each: see bertlua.data.sample_checks.
-- @tparam table summary of create.run
-- @tparam table values its settings; text_form = "prose" if the text was split into sentences first
-- @return list of lines
function create.warnings(summary, values)
    local hints = values.text_form == "prose" and { border = "name --border line, blank, heading or none" }
        or { border = "put blank lines between documents, or, if each line is a document, use --text-form prose "
            .. "--border line", join = "leave blank lines only between documents" }
    local lines = sample_checks.documents(summary, hints)
    hints.named = summary.documents == 1
    local share = values.test_share or 0
    lines[#lines + 1] = sample_checks.held_out(share, summary.test_shards, summary.shards, "shard",
        ("set shards to %d or more"):format(math.ceil(1 / math.max(share, 1e-6))))
    summary.samples = summary.instances
    for _, line in ipairs(sample_checks.samples(summary, with_defaults(values), hints)) do lines[#lines + 1] = line end
    return lines
end

return create
