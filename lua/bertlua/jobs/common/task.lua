--- A task: everything the runner (runner.lua) needs to know about one thing to
-- train a model for. Pre-training, SQuAD and classification are tasks; a new one
-- is a table like theirs, in lua/bertlua/jobs/NAME/task.lua.
--
-- What a task must declare:
--
--     name           names its progress bar, and its folder below OUTPUT_DIR/BERT_MODEL
--     settings       settings.Spec, made with jobs/common/settings.lua; a resumed run says what differs, unless the
--                    declaration says why that changes nothing of the result: passing = "where files go"
--     batch_setting  the setting that holds the sequences per micro-step
--     results        scalars that the model's forward returns, the loss first: list of {name; column: header in the
--                    console log; bar = function(value) -> text in the progress bar; kept = true: goes into
--                    progress.json}; each is averaged over micro-steps, ranks and the steps between two log lines
--     model(data)    -> model: a Module whose class has `architecture`, its name in transformers, and whose
--                    forward(tape, batch) returns the results, activation_bytes(shape) what a step takes; a recipe
--                    may put another in its place (model_choice.lua)
--     open(job)      -> data: {config: BertConfig; train: loader of batches, where it trains; lines: what to log about
--                    the data; ignored: patterns of parameters that a run does not take from those it starts from, or
--                    nil; ...: whatever the other functions need}. A loader has samples, max_seq_length, tensors
--                    (list of {name, "rows"|"masked"|"sequences", i32 of an entry}) and batch(n); see
--                    data/sequences.lua and data/loader.lua
--
-- and what it may declare:
--
--     results_of(values, data)  the results where settings or data decide them; nil: those above
--     plan(run, values, sources)  rules between its settings, checked before anything is opened. Sets run.work =
--                    {train=, predict=, evaluate=} ({train = true} if it does not), run.phase (name), run.parameters
--                    (parameters to start from: {setting, path}, where they are not from_pretrained_params)
--     prepare(run, values)  work for rank 0 before data are opened, such as a download
--     exports        true: once it is trained, the model is written for transformers: into the task's folder, or that
--                    of the model
--     flat           true: OUTPUT_DIR/model holds the model, OUTPUT_DIR/checkpoints the STEP folders, and results lie
--                    in OUTPUT_DIR; otherwise all of it is in OUTPUT_DIR/BERT_MODEL/TASK
--     cuts           true: that model is for texts of at most max_seq_length tokens, which its folder records
--     exported(job)  called on rank 0 after that, to add files of its own
--     predict(job, outcome)  on rank 0 after, or without, training: fills in outcome.prediction {sequences, seconds,
--                    ...} and outcome.metrics {name = number}
--     inference(job) -> sequences to measure in benchmark mode without training (see data/sequences.lua); required
--                    with predict
--     folds(values)  where a train_file can be divided: list of its items {line: number of the first line of each in
--                    train_file; stratum: its label, for parts alike in labels, or nil; names: list of labels that
--                    training must have seen} (see repeats/folds.lua)
--     evaluation     for recipes that evaluate while they train (see evaluating.lua): {fields: list of the fields of
--                    `evaluate` that are its own; metric: the one that decides unless a recipe names another;
--                    usual(values, evaluate): the same where settings or data decide it, nil for `metric`; may be
--                    left out;
--                    metrics(values) -> {name = "lower" or "higher", whichever is better}, or nil where only an
--                    evaluation shows the names; shown: set of metrics for the log, nil for all; plan(run, values,
--                    evaluate, given): checks its own fields, completes those of the table that was given;
--                    open(job) -> opened, on rank 0 as the next ones; run(job, opened, tick) -> metrics {name =
--                    number}: calls tick(done, total) after each batch, and where that returns true, stops and returns
--                    nil; close(opened)}
--     rows(outcome, record)  -> list of {name, text} for the final table
--     summary(outcome)  -> text after the final table, or nil
--
-- These functions are given a job: {task, values, sources, run: the plan, ranks, data, parts: what trains (model, tape,
-- ...), log}.

local M = {}

local REQUIRED = { name = "string", settings = "table", batch_setting = "string", results = "table",
    model = "function", open = "function" }
local OPTIONAL = { results_of = "function", plan = "function", prepare = "function", exports = "boolean",
    flat = "boolean", cuts = "boolean", exported = "function", predict = "function", inference = "function",
    evaluation = "table", folds = "function", rows = "function", summary = "function" }
local OF_EVALUATION = { fields = "table", metric = "string", metrics = "function", plan = "function", open = "function",
    run = "function", close = "function" }

--- Check a task's declaration; a mistake is an error at the caller's line.
-- @param task as above
-- @return task
function M.define(task)
    if type(task) ~= "table" then error("task: got a " .. type(task) .. ", expected a table", 2) end
    for name, kind in pairs(REQUIRED) do
        if type(task[name]) ~= kind then
            error(("task %s: %s is %s, expected a %s"):format(tostring(task.name), name,
                task[name] == nil and "missing" or "a " .. type(task[name]), kind), 2)
        end
    end
    for name, value in pairs(task) do
        local kind = REQUIRED[name] or OPTIONAL[name]
        if not kind then error(("task %s: unknown field %q"):format(task.name, tostring(name)), 2) end
        if type(value) ~= kind then
            error(("task %s: %s is a %s, expected a %s"):format(task.name, name, type(value), kind), 2)
        end
    end
    local usual = task.evaluation and task.evaluation.usual
    if usual ~= nil and type(usual) ~= "function" then
        error(("task %s: evaluation.usual is a %s, expected a function"):format(task.name, type(usual)), 2)
    end
    for name, kind in pairs(task.evaluation and OF_EVALUATION or {}) do
        if type(task.evaluation[name]) ~= kind then
            error(("task %s: evaluation.%s is a %s, expected a %s"):format(task.name, name,
                type(task.evaluation[name]), kind), 2)
        end
    end
    if task.predict and not task.inference then
        error(("task %s: it says predict but not inference, which benchmark mode needs"):format(task.name), 2)
    end
    if not task.settings.by_name[task.batch_setting] then
        error(("task %s: batch_setting is %s, which is not one of its settings"):format(task.name,
            task.batch_setting), 2)
    end
    if not task.results[1] or task.results[1].name ~= "loss" then
        error(("task %s: its first result is not the loss"):format(task.name), 2)
    end
    local folds = task.settings.by_name.folds
    if folds and not task.folds then
        -- Who gives it is told why it cannot be; nobody is shown it.
        local hidden = { hidden = true }
        for name, value in pairs(folds) do hidden[name] = value end
        task.settings = task.settings:extend { hidden }
    end
    return task
end

--- Whether a task fine-tunes: its settings are those of settings.finetuning(), so epochs decide the number of steps, it
-- starts from pretrained parameters, and it reads text.
function M.finetunes(task)
    return task.settings.by_name.epochs ~= nil
end

--- The results of a run of a task.
-- @param values resolved settings
-- @param data what its open() returned
-- @return list as in the declaration
function M.results(task, values, data)
    return task.results_of and task.results_of(values, data) or task.results
end

--- How results that a recipe computes are shown: those that the task has too as there, any other in a column of its
-- own.
-- @param names list
-- @return list as in the declaration
function M.describe(task, names)
    local known, list = {}, {}
    for _, result in ipairs(task.results) do known[result.name] = result end
    for i, name in ipairs(names) do list[i] = known[name] or { name = name, column = name } end
    return list
end

--- Names of results.
function M.names(results)
    local names = {}
    for i, result in ipairs(results) do names[i] = result.name end
    return names
end

return M
