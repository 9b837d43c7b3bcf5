--- The settings of several runs in one call; what they mean together: runs.lua.

local M = {}

--- The settings, as a group of jobs/common/settings.lua.
M.SETTINGS = { "Several runs", {
    { name = "seeds", type = "string", accepts = { table = true }, passing = "each run has a seed of its own",
        help = "train once with each of these seeds, 1,2,3, in OUTPUT_DIR/seed-N; mean and deviation go to "
            .. "OUTPUT_DIR/eval.json; unset: one run" },
    { name = "folds", type = "integer", min = 2, passing = "the files of each run are compared",
        help = "divide train_file by seed into so many parts, and train once for each, which is then the dev_file, in "
            .. "OUTPUT_DIR/fold-N; unset: one run" },
    { name = "sweep", type = "string", accepts = { table = true }, passing = "the settings of each run are compared",
        help = "train once with each combination of values, \"learning_rate=2e-5,5e-5;epochs=2,3\", and sort the runs "
            .. "by their figures; with seeds or folds, each combination with each of those; unset: one run" },
    { name = "sweep_processes", type = "integer", min = 1, passing = "the same runs, but for rounding",
        help = "of seeds, folds or sweep, run so many at once, each with its share of the threads and with its output "
            .. "in log.txt of its folder; unset: 1" },
} }

return M
