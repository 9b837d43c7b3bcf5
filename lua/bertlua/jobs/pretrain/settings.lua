--- The settings of pre-training: names and defaults as in NVIDIA's BERT
-- scripts, in snake_case, then bertlua's own. Rules that relate several settings
-- do not belong here: see task.lua and jobs/common/plan.lua.

local settings = require "bertlua.jobs.common.settings"

return settings.task {
    { "Job", {
        { name = "input_dir", type = "path", passing = "its shards are compared",
            help = "folder of HDF5 shards (*.hdf5, *.h5); not with data" },
        { name = "data", type = "lua", accepts = { ["function"] = true },
            help = "called with run for each epoch; returns an iterator of { text = ..., pair = ..., label = ... } or "
                .. "{ ids = { ... } }, in place of input_dir" },
        { name = "shuffle_buffer", type = "integer", min = 1,
            help = "items of data that are read ahead and drawn from at random; unset: they stay in their order" },
        { name = "do_lower_case", type = "boolean", help = "lower-case the texts of data; unset: by the vocabulary" },
        { name = "output_dir", help = "checkpoints go to OUTPUT_DIR/BERT_MODEL/phase1|phase2/STEP" },
        { name = "max_steps", type = "integer", min = 1,
            help = "updates of the whole schedule; required" },
        { name = "from_phase1_final_params", type = "path", passing = "the parameters are compared",
            help = "phase 1 checkpoint whose parameters start phase 2; auto: of those in "
                .. "OUTPUT_DIR/BERT_MODEL/phase1 the best if it keeps one, else the newest; "
                .. "ignored once phase 2 has a checkpoint to resume from" },
        { name = "num_workers", type = "integer", passing = "who does the work", min = 0, max = 1, default = 1,
            help = "1: read ahead in a thread; 0: read between steps" },
    } },
    { "Training", {
        { name = "max_seq_length", type = "integer", min = 8, default = 512, help = "as in the shards" },
        { name = "objectives", type = "choice", choices = { "mlm", "mlm,nsp" }, accepts = { table = true },
            default = "mlm,nsp", fixed = true,
            help = "what is learned: masked words alone, or next sentences too; a recipe may write { \"mlm\" }" },
        { name = "batch_size", type = "integer", min = 1, default = 32,
            help = "sequences per micro-step, per device" },
        { name = "phase1", type = "boolean", passing = "the phase is compared", default = false,
            help = "short sequences; excludes phase2" },
        { name = "phase2", type = "boolean", passing = "the phase is compared", default = false,
            help = "long sequences; excludes phase1" },
        { name = "max_predictions_per_seq", type = "integer", min = 1, default = 80,
            help = "masked tokens per sequence, as in the shards" },
        { name = "dynamic_masking", type = "boolean", default = false,
            help = "draw new masks each time a sample is read, instead of using the shards' masks; always with data" },
    } },
}
