--- Scores of an encoder's heads before they are read: bl_encoder_compute, which the library exports for specs.

local ffi = require "ffi"
local bl = require "bertlua.ffi"

local M = {}

-- As engine/encoder/encoder.h has it.
ffi.cdef [[
typedef struct bl_sequences {
    int64_t count;
    const int32_t *ids;
    const int64_t *offsets;
    const int32_t *first_lengths;
    const int64_t *places;
    int64_t place_count;
} bl_sequences;
bl_status bl_encoder_compute(bl_encoder *encoder, int32_t head, const bl_sequences *sequences, float *out);
]]

local HEAD = { hidden = 0, mean = 1, cls = 2, labels = 3, tags = 4, spans = 5, words = 6 }
local OF_TOKENS = { hidden = true, tags = true, spans = true }

--- Run a head.
-- @param encoder of bertlua.encoder_api
-- @param head "hidden", "mean", "cls", "labels", "tags", "spans" or "words"
-- @param list of sequences (graph_models.sequence)
-- @param width numbers of a row
-- @return for each sequence its rows; or nil, message
function M.run(encoder, head, list, width)
    local tokens, places = 0, 0
    for _, s in ipairs(list) do tokens, places = tokens + #s.ids, places + #s.masked end
    local ids, offsets = ffi.new("int32_t[?]", tokens), ffi.new("int64_t[?]", #list + 1)
    local firsts, masked = ffi.new("int32_t[?]", #list), ffi.new("int64_t[?]", places + 1)
    local at, place = 0, 0
    for i, s in ipairs(list) do
        for k, id in ipairs(s.ids) do ids[at + k - 1] = id end
        for _, row in ipairs(s.masked) do
            masked[place] = at + row
            place = place + 1
        end
        at = at + #s.ids
        offsets[i], firsts[i - 1] = at, s.first
    end
    local sequences = ffi.new("bl_sequences", { #list, ids, offsets, firsts, masked, head == "words" and place or 0 })
    local out = ffi.new("float[?]", width * math.max(tokens, #list, places))
    if bl.lib.bl_encoder_compute(encoder.handle, HEAD[head], sequences, out) ~= 0 then return nil, bl.last_error() end
    local results, row = {}, 0
    for i, s in ipairs(list) do
        results[i] = {}
        for r = 1, head == "words" and #s.masked or OF_TOKENS[head] and #s.ids or 1 do
            results[i][r] = {}
            for k = 1, width do results[i][r][k] = out[row * width + k - 1] end
            row = row + 1
        end
    end
    return results
end

return M
