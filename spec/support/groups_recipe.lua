--- A pre-training recipe for specs: half of the tiny model is frozen, the rest has rates and decays of its own.

require("bertlua.recipe").pretrain({
    phase1 = true,
    freeze = { "embeddings", "encoder.layer.0." },
    lr_scale = function(name) return name:find "layer%.1%." and 0.5 or nil end,
    weight_decay_of = { ["cls.*weight"] = 0.1 },
}, "Pre-train a part of the model.")
