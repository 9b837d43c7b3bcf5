--- What tiny jobs for specs share: a vocabulary, a model's config, the real executable's command line.

local assert = require "luassert"
local fs = require "bertlua.util.fs"
local json = require "bertlua.util.json"

local Job = {}
Job.__index = Job

Job.BINARY = os.getenv "BERTLUA_BIN" or "build/bertlua"

--- A class of jobs that all have the same model.
-- @param model words: of the vocabulary, [PAD] ... [MASK], w5, w6, ...; length: max_position_embeddings;
--   initializer_range
function Job.class(model)
    local class = setmetatable({ model = model }, { __index = Job })
    class.__index = class
    return class
end

--- A job with vocabulary and config in a fresh folder.
-- @param files names of further files of the folder by field
function Job.make(class, name, files)
    local dir = assert(fs.temporary_folder("bertlua-" .. name))
    local self = setmetatable({ dir = dir, vocab = dir .. "/vocab.txt", config = dir .. "/config.json",
        out = dir .. "/out" }, class)
    for field, file in pairs(files) do self[field] = dir .. "/" .. file end
    local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
    for i = #words, class.model.words - 1 do words[i + 1] = "w" .. i end
    assert(fs.write(self.vocab, table.concat(words, "\n") .. "\n"))
    self:write_config {}
    return self
end

--- The model's config with changes; returns its path.
function Job:write_config(changes, name)
    local config = { vocab_size = self.model.words, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2,
        intermediate_size = 32, max_position_embeddings = self.model.length, hidden_dropout_prob = 0.1,
        attention_probs_dropout_prob = 0.1, initializer_range = self.model.initializer_range }
    for key, value in pairs(changes) do config[key] = value end
    local path = name and self.dir .. "/" .. name or self.config
    assert(fs.write(path, json.encode(config) .. "\n"))
    return path
end

--- Command line of a recipe with this job's files.
-- @param own options of the kind of job, by name
-- @param changes options by name (false: leave the option out)
function Job:command_line(recipe, own, changes)
    local options = {
        ["bert-model"] = "custom", ["config-file"] = self.config, ["vocab-file"] = self.vocab,
        ["output-dir"] = self.out, ["report-file"] = self.dir .. "/report.json", ["num-steps-per-checkpoint"] = 100,
        ["log-freq"] = 1, ["max-seq-length"] = self.model.length, ["learning-rate"] = 0.01, threads = 1,
        ["show-config"] = "false",
    }
    for _, more in ipairs { own, changes or {} } do
        for name, value in pairs(more) do options[name] = value end
    end
    local names = {}
    for name, value in pairs(options) do
        if value ~= false then names[#names + 1] = name end
    end
    table.sort(names)
    local words = { Job.BINARY, "recipes/" .. recipe }
    for _, name in ipairs(names) do
        words[#words + 1] = ("--%s '%s'"):format(name, (tostring(options[name]):gsub("'", "'\\''")))
    end
    return table.concat(words, " ")
end

--- Run a shell command.
-- @return exit code, output (stdout and stderr)
function Job.shell(command)
    local pipe = assert(io.popen("{ " .. command .. "; } 2>&1; echo \"code $?\"", "r"))
    local output = pipe:read "*a"
    pipe:close()
    local text, code = output:match "^(.*)code (%d+)%s*$"
    return tonumber(code), text
end

function Job:close()
    assert(fs.remove(self.dir))
end

--- Run the recipe, which must end well.
-- @param changes, prefix as of the class's run()
-- @return output
function Job:succeed(changes, prefix)
    local code, output = self:run(changes, prefix)
    assert.are.equal(0, code, output)
    return output
end

--- Run the recipe, which must refuse what it was given in one line that matches a pattern.
function Job:refused(pattern, changes)
    local code, output = self:run(changes)
    assert.are.equal(1, code, output)
    assert.matches(pattern, output)
    assert.are.equal(1, select(2, output:gsub("bertlua: ", "")), output)
end

--- The files of these names must be the same in two folders.
function Job.same_files(a, b, names)
    for _, name in ipairs(names) do
        assert.is_true(fs.read(a .. "/" .. name) == fs.read(b .. "/" .. name), name .. " differs")
    end
end

return Job
