--- Regression: labels are numbers, and the mean of them under the model's probabilities comes close to the right one.
--
--     bertlua examples/regression.lua --train-file train.csv --dev-file dev.csv --bert-model bert-base-uncased \
--         --from-pretrained-params results/bert-base-uncased/phase1
--
-- The label column holds numbers, such as the similarity of two texts from 0 to 5.

local F = require "bertlua.autograd.functional"
local recipe = require "bertlua.recipe"
local tensor = require "bertlua.tensor"

local values

local function loss(tape, model, batch)
    if not values then
        local list = {}
        for i, label in ipairs(model.config.labels) do
            list[i] = { (assert(tonumber(label), "the label is no number: " .. label)) }
        end
        values = tensor.from(list, "f32")
    end
    local predicted = model:logits(tape, batch):float():softmax():matmul(values)
    local right = F.gather(tape, tape:input(values), batch.labels)
    local mse = F.mse_loss(tape, predicted, right)
    return { loss = mse, rmse = mse:sqrt() }
end

recipe.run("classify", {
    output_dir = "results/regression",
    epochs = 3,
    loss = loss,
    learning_rate = 3e-5, optimizer = "AdamW",
    last_step_of_checkpoint = "auto",
}, "Fine-tune on labels that are numbers.")
