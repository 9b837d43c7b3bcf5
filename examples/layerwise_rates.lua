--- Lower layers learn more slowly: each layer has 0.8 times the learning rate of the one above it, the classifier all
-- of it, as in ELECTRA (arXiv 2003.10555, appendix B). The pooler and the classifier have a weight decay of their own.
--
--     bertlua examples/layerwise_rates.lua --train-file train.csv --dev-file dev.csv --bert-model custom \
--         --from-pretrained-params MODEL
--
-- Names are those of model.safetensors; nil means what it would be without the function. The rates alone are those of
-- the setting layerwise_lr_decay = 0.8, whatever the number of layers.

local recipe = require "bertlua.recipe"

local LAYERS, DECAY = 12, 0.8

recipe.run("classify", {
    output_dir = "results/layerwise_rates",
    max_seq_length = 128,
    learning_rate = 1e-4,
    optimizer = "AdamW",
    epochs = 3,
    lr_scale = function(name)
        local layer = tonumber(name:match "encoder%.layer%.(%d+)%.")
        if layer then return DECAY ^ (LAYERS - layer) end
        if name:find "embeddings" then return DECAY ^ (LAYERS + 1) end
    end,
    weight_decay_of = function(name)
        if name:find "pooler" or name:find "classifier" then
            return name:find "bias" and 0 or 0.1
        end
    end,
    last_step_of_checkpoint = "auto",
}, "Fine-tune BERT with a learning rate for each layer.")
