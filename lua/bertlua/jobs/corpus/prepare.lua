--- Job: turns a Wikipedia dump or a folder of text into shards, stage by stage.

local paths = require "bertlua.paths"
local pipeline = require "bertlua.corpus.pipeline"
local settings = require "bertlua.settings"
local text_source = require "bertlua.data.text_source"
local trainer = require "bertlua.text.vocab_trainer"

local M = {}

local OWN = {
    { name = "variant", type = "choice", choices = { "wiki_only", "wiki_books", "corpus", "squad" },
      default = "wiki_only", group = "General", help = "wiki_only: a dump; wiki_books: a dump and books_dir; corpus: "
        .. "any folder of text; squad: the SQuAD files" },
    { name = "stages", type = "string", default = "download,verify,extract,sentences,shard,hdf5,verify",
      group = "General", help = "stages to run, in order; vocab, before hdf5, learns a vocabulary" },
    { name = "output_dir", type = "path", group = "General", help = "folder for all output" },
    { name = "num_workers", type = "integer", default = 0, min = 0, max = 1024, group = "General",
      help = "processes; 0: one per core; does not affect the output" },
    { name = "memory_limit", type = "integer", default = 2048, min = 64, group = "General",
      help = "MiB for all processes together; only as many run as fit" },
    { name = "seed", type = "integer", default = 12345, min = 0, max = 2 ^ 50, group = "General",
      help = "random seed for shards, samples and masks" },
    { name = "wikipedia", type = "path", group = "Sources", help = "dump, .xml or .xml.bz2; unset: fetch it" },
    { name = "wikipedia_index", type = "path", group = "Sources",
      help = "index of a multistream dump; optional, as blocks are found without it" },
    { name = "books_dir", type = "path", group = "Sources", help = "wiki_books: folder of books, one .txt file each" },
    { name = "corpus_dir", type = "path", group = "Sources", help = "corpus: folder of text files" },
    { name = "border", type = "choice", choices = { "auto", "heading", "blank", "line", "none" },
      default = "auto", group = "Sources",
      help = "corpus: what separates the documents in a file; line: each line is a document" },
    { name = "text_form", type = "choice", choices = { "auto", "text", "jsonl", "wikiextractor" }, default = "auto",
      group = "Sources", help = "corpus, books: text: all of a file; jsonl: a JSON object per line is a document; "
        .. "wikiextractor: its <doc> files; auto: JSON lines and <doc> are recognized" },
    { name = "language", type = "string", default = "en", group = "Sources",
      help = "language of the Wikipedia to fetch, and for sentence rules: a code such as en, de, ja" },
    { name = "locale", type = "string", group = "Sources",
      help = "ICU locale for sentence rules, instead of language" },
    { name = "mirrors", type = "string", group = "Download",
      default = "https://dumps.wikimedia.org,https://mirror.accum.se/mirror/wikimedia.org/dumps",
      help = "base URLs, tried in turn" },
    { name = "dump_date", type = "string", default = "latest", group = "Download",
      help = "date of the dump, YYYYMMDD" },
    { name = "wikipedia_url", type = "string", group = "Download", help = "URL of the dump, instead of mirrors" },
    { name = "wikipedia_index_url", type = "string", group = "Download", help = "URL of its index" },
    { name = "squad_url", type = "string", group = "Download", help = "squad: base URL of the two files" },
    { name = "checksum", type = "string", group = "Download",
      help = "of the dump: md5:, sha1: or sha256: and the digest; unset: the published one" },
    { name = "retries", type = "integer", default = 10, min = 0, group = "Download",
      help = "additional rounds through the mirrors" },
    { name = "retry_wait", type = "number", default = 2, min = 0, group = "Download",
      help = "seconds before the second round; doubles each time" },
    { name = "timeout", type = "integer", default = 60, min = 1, group = "Download",
      help = "seconds without data before a transfer is aborted" },
    { name = "shards", type = "integer", default = 0, min = 0, group = "Shards",
      help = "training shards; 0: one per 5 MB of text" },
    { name = "test_share", type = "number", default = 0.01, min = 0, below = 0.5, group = "Shards",
      help = "fraction of documents held out for evaluation, chosen by their hash" },
    { name = "vocab_file", type = "path", find = paths.vocabulary, group = "Samples",
      help = "WordPiece vocabulary: a path, or a name in bertlua's vocab/; unset: the one made by stage vocab" },
    { name = "vocab_size", type = "integer", default = trainer.DEFAULTS.vocab_size, min = 6, max = 2 ^ 24,
      group = "Samples", help = "stage vocab: tokens to learn" },
    { name = "min_frequency", type = "integer", default = trainer.DEFAULTS.min_frequency, min = 1, group = "Samples",
      help = "stage vocab: how often a pair of pieces must occur to be joined" },
    { name = "alphabet_limit", type = "integer", default = trainer.DEFAULTS.alphabet_limit, min = 1, max = 1114112,
      group = "Samples", help = "stage vocab: distinct characters to keep, the most frequent; words with others become "
        .. "[UNK]" },
    { name = "do_lower_case", type = "boolean", default = true, group = "Samples",
      help = "lower-case and strip accents; must match the vocabulary" },
    { name = "sets", type = "string", default = "128:20,512:80", group = "Samples",
      help = "sets of samples: LENGTH:MASKED for phase 1 and phase 2" },
    { name = "masked_lm_prob", type = "number", default = 0.15, above = 0, max = 1, group = "Samples",
      help = "fraction of tokens that are masked" },
    { name = "short_seq_prob", type = "number", default = 0.1, min = 0, max = 1, group = "Samples",
      help = "fraction of samples with a shorter target length" },
    { name = "dupe_factor", type = "integer", default = 10, min = 1, group = "Samples",
      help = "passes over the text, each with new samples and masks" },
    { name = "gzip", type = "integer", default = 1, min = 0, max = 9, group = "Samples", help = "compression level" },
    { name = "quiet", type = "boolean", default = false, group = "General", help = "print only warnings" },
}

local function all_settings()
    local list = {}
    for _, setting in ipairs(OWN) do list[#list + 1] = setting end
    for _, setting in ipairs(text_source.settings) do list[#list + 1] = setting end
    return list
end

M.settings = settings.define(all_settings())

--- Run the job.
-- @param values of M.settings
-- @param given sources of the values: see settings:parse
-- @return the manifest
function M.run(values, given)
    return pipeline.run(values, given)
end

--- Entry point of the recipe: its own settings, then the command line.
function M.main(overrides, description)
    local values, given = M.settings:parse(arg or {}, overrides, {
        description = description,
    })
    return M.run(values, given)
end

return M
