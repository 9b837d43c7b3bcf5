--- Keys of other programs' config.json: which of them change the network, and which say nothing of it.
--
-- transformers writes the keys that its version knows, and each version knows others. What changes the network is
-- listed with the values that are implemented; what is known to leave the network alone is ignored in silence; whatever
-- else a file has is ignored too, and told.

local json = require "bertlua.util.json"
local printable = require "bertlua.printable"

local M = {}

local function is(expected)
    return function(value) return value == expected end
end

local function is_empty(value)
    return type(value) == "table" and next(value) == nil
end

--- Classes that a folder's own code stands in for. Its configuration and tokenizer may be such, not its model.
local function names_no_model(value)
    if type(value) ~= "table" then return false end
    for class in pairs(value) do
        if type(class) ~= "string" or class:find "Model" then return false end
    end
    return true
end

--- Weights of 8 bits, symmetric, with a scale for each row. Where they are, their file says.
local function is_rows_of_int8(value)
    if is_empty(value) then return true end
    if type(value) ~= "table" or value.quant_method ~= "compressed-tensors" or value.format ~= "int-quantized"
        or type(value.config_groups) ~= "table" or not next(value.config_groups) then
        return false
    end
    for _, group in pairs(value.config_groups) do
        local of = type(group) == "table" and group.weights
        if type(of) ~= "table" or of.num_bits ~= 8 or of.type ~= "int" or of.symmetric ~= true
            or of.strategy ~= "channel" or of.dynamic == true then
            return false
        end
    end
    return true
end

-- name -> whether a value is implemented, what is. null says the same as no such key.
local NETWORK = {
    add_cross_attention = { is(false), "false: only BERT's encoder" },
    auto_map = { names_no_model, "no class of a model: code of the folder's own is not run; remove the key if the "
        .. "network is BERT's" },
    feed_forward_type = { is "original", '"original"' },
    is_decoder = { is(false), "false: only BERT's encoder" },
    is_encoder_decoder = { is(false), "false: only BERT's encoder" },
    position_embedding_type = { is "absolute", '"absolute": positions are looked up in a table' },
    pruned_heads = { is_empty, "none: attention heads are not pruned" },
    quantization_config = { is_rows_of_int8, "none (parameters as F32, F16, BF16 or F64) or that of bertlua quantize "
        .. "(compressed-tensors, int-quantized: 8 bits, symmetric, a scale for each row)" },
    tie_word_embeddings = { is(true), "true: words are scored with the embeddings of the words" },
}

-- What files of BERT have had; then what transformers writes beside it, most of it about generating text.
local OF_BERT = [[
    _name_or_path architectures attn_implementation bos_token_id classifier_dropout directionality dtype eos_token_id
    finetuning_task id2label label2id model_type output_past pooler_fc_size pooler_num_attention_heads
    pooler_num_fc_layers pooler_size_per_head pooler_type problem_type torch_dtype transformers_version use_cache
]]
local OF_TRANSFORMERS = [[
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal _commit_hash _experts_implementation
    _flash_attn_2_enabled _num_labels adapters attribute_map bad_words_ids base_model_tp_plan begin_suppress_tokens
    chunk_size_feed_forward cross_attention_hidden_size custom_pipelines decoder_start_token_id diversity_penalty
    do_sample early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
    forced_eos_token_id gradient_checkpointing is_composition keys_to_ignore_at_inference length_penalty max_length
    min_length no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences output_attentions
    output_hidden_states output_scores pad_token_id prefix remove_invalid_values repetition_penalty return_dict
    return_dict_in_generate sentence_transformers sep_token_id suppress_tokens task_specific_params temperature
    tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torchscript transformers.js_config typical_p
    use_bfloat16 use_return_dict xla_device
]]

local HARMLESS = {}
for name in OF_TRANSFORMERS:gmatch "%S+" do HARMLESS[name] = "transformers" end
for name in OF_BERT:gmatch "%S+" do HARMLESS[name] = "BERT" end

--- Whether a key is known to say nothing of the network.
function M.is_harmless(name)
    return HARMLESS[name] ~= nil
end

--- Whether a key is of BERT's files, so that a recipe's own model cannot mean another thing by it.
function M.is_of_bert(name)
    return HARMLESS[name] == "BERT"
end

--- Whether a key changes the network where its value is another than the one implemented.
function M.is_network(name)
    return NETWORK[name] ~= nil
end

--- Whether a table of settings has a key that only other programs write: then its other keys are their affair, too.
function M.is_foreign(values)
    for name in pairs(values) do
        if HARMLESS[name] or NETWORK[name] then return true end
    end
    return false
end

local function shown(value)
    if type(value) == "string" then return '"' .. printable.text(value) .. '"' end
    if type(value) ~= "table" then return printable.text(tostring(value)) end
    if type(value.quant_method) == "string" then return printable.text(value.quant_method) end
    return "set"
end

--- What is wrong with a model_type; nil if nothing is.
function M.type_problem(values)
    local kind = values.model_type
    if kind == nil or kind == json.null or kind == "bert" then return nil end
    return ('model_type is %s, expected "bert"'):format(shown(kind))
end

--- The values of a table of settings that ask for another network than the one implemented: a sorted list of lines.
function M.problems(values)
    local list, names = {}, {}
    for name in pairs(NETWORK) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        local value = values[name]
        if value ~= nil and value ~= json.null and not NETWORK[name][1](value) then
            list[#list + 1] = ("%s is %s, expected %s"):format(name, shown(value), NETWORK[name][2])
        end
    end
    return list
end

return M
