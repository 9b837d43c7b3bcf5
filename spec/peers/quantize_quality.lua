--- What a model loses when `bertlua quantize` rounds its weights to 8 bits: figures of real tasks, for
-- docs/inference.md.
--
--     build/bertlua spec/peers/quantize_quality.lua --embedder MODEL --pairs stsb-en-test.csv
--     build/bertlua spec/peers/quantize_quality.lua --classifier MODEL --texts banking77-test.csv \
--         --label-column category
--
-- Each model is measured as it is, with rounded weights (the quantized folder converted back, multiplied in f32), and
-- quantized (activations are rounded too). The embedder by Spearman's correlation of the cosines of pairs with their
-- scores, the classifier by its accuracy. Exits with 1 where a figure falls by more than --most points.

local bl = require "bertlua"
local convert = require "bertlua.jobs.convert"
local correlation = require "bertlua.metrics.correlation"
local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local quantize = require "bertlua.jobs.quantize"
local records = require "bertlua.data.records"
local settings = require "bertlua.settings"

local spec = settings.define {
    { name = "embedder", type = "path", help = "model that makes vectors; unset: none" },
    { name = "pairs", type = "path", help = "pairs of texts with a score, without a header: text, text, score" },
    { name = "classifier", type = "path", help = "fine-tuned model; unset: none" },
    { name = "texts", type = "path", help = "texts with their labels" },
    { name = "text_column", type = "string", default = "text", help = "column of the text" },
    { name = "label_column", type = "string", default = "label", help = "column of the label" },
    { name = "most", type = "number", min = 0, default = 0.5, help = "points that a figure may fall" },
}

--- The model in its three forms: list of {what it is, folder}.
local function forms_of(path, folder)
    local int8, rounded = folder .. "/int8", folder .. "/rounded"
    quantize.run { ["folder out"] = { path, int8 } }
    convert.from_huggingface { input = int8, output_dir = rounded, model_prefix = "model" }
    return { { "as it is", path }, { "rounded weights", rounded }, { "int8", int8 } }
end

local function cosines_of(model, pairs_)
    local texts, list = {}, {}
    for _, pair in ipairs(pairs_) do
        texts[#texts + 1] = pair["1"]
        texts[#texts + 1] = pair["2"]
    end
    local vectors = model:embed(texts, { normalize = true }):tolist()
    for i = 1, #pairs_ do
        local a, b, sum = vectors[2 * i - 1], vectors[2 * i], 0
        for h, x in ipairs(a) do sum = sum + x * b[h] end
        list[i - 1] = sum -- correlation takes arrays from 0
    end
    return list, vectors
end

--- The smallest cosine between the vectors of the same text.
local function closeness(vectors, others)
    local least = 1
    for i, a in ipairs(vectors) do
        local sum = 0
        for h, x in ipairs(a) do sum = sum + x * others[i][h] end
        least = math.min(least, sum)
    end
    return least
end

local function of_pairs(path)
    local pairs_, gold = records.read(path, { "1", "2", "3" }), {}
    for i, pair in ipairs(pairs_) do gold[i - 1] = tonumber(pair["3"]) end
    local first
    return ("Spearman on %d pairs"):format(#pairs_), function(model)
        local cosines, vectors = cosines_of(model, pairs_)
        first = first or vectors
        return 100 * correlation.spearman(gold, cosines, #pairs_),
            ("a text's vector is that of the model as it is up to a cosine of %.5f"):format(closeness(first, vectors))
    end
end

local function of_texts(path, values)
    local rows, texts, first = records.read(path, { values.text_column, values.label_column }), {}, nil
    for i, row in ipairs(rows) do texts[i] = row[values.text_column] end
    return ("accuracy on %d texts"):format(#rows), function(model)
        local right, others, labels = 0, 0, {}
        for i, result in ipairs(model:classify(texts)) do
            labels[i] = result.label
            if result.label == rows[i][values.label_column] then right = right + 1 end
            if first and result.label ~= first[i] then others = others + 1 end
        end
        first = first or labels
        return 100 * right / #rows, ("%d texts get another label than from the model as it is"):format(others)
    end
end

--- Measure a model; returns whether no figure falls too far.
local function compare(path, name, measure, values)
    local folder = fault.check(fs.temporary_folder "bertlua-quality")
    local good, base = true, nil
    print(("%s: %s"):format(path, name))
    for _, form in ipairs(forms_of(path, folder)) do
        local model = bl.load(form[2])
        local figure, note = measure(model)
        model:close()
        base = base or figure
        good = good and base - figure <= values.most
        print(("| %-15s | %6.2f | %+5.2f | %s |"):format(form[1], figure, figure - base, note))
    end
    fault.check(fs.remove(folder))
    return good
end

local function main()
    local values = spec:parse(arg, {}, { program = "spec/peers/quantize_quality.lua",
        description = "Measure what models lose when they are quantized." })
    local good = true
    for _, task in ipairs { { "embedder", "pairs", of_pairs }, { "classifier", "texts", of_texts } } do
        local path, data = values[task[1]], values[task[2]]
        if (path == nil) ~= (data == nil) then
            fault.raisef("--%s and --%s are given together, or neither", task[1], task[2])
        end
        if path then
            local name, measure = task[3](data, values)
            good = compare(path, name, measure, values) and good
        end
    end
    if not good then fault.raisef("a figure has fallen by more than %g points", values.most) end
end

main()
