--- Commands of the executable, as a table.

local commands = require "bertlua.prompt.commands"

local function is_file(path)
    local file = path and io.open(path)
    if file then file:close() end
    return file ~= nil
end

describe("commands", function()
    it("have scripts that exist, or are known to command.lua", function()
        local scripts = 0
        for _, command in ipairs(commands.list) do
            for _, word in ipairs(commands.words(command)) do
                assert.is_true(is_file(commands.script(command, word)), command.name .. " " .. word)
                scripts = scripts + 1
            end
            if command.script then
                assert.is_true(is_file(commands.script(command)), command.name)
                scripts = scripts + 1
            end
        end
        assert.are.equal(4, scripts)
    end)

    it("are found with dashes or underscores", function()
        assert.are.equal("seal-shards", commands.find("seal_shards").name)
        assert.are.equal("seal-shards", commands.find("seal-shards").name)
        assert.is_nil(commands.find "seal")
        assert.are.equal("./scripts/convert_to_huggingface.lua",
            commands.script(commands.find "convert", "to_huggingface"))
        assert.is_nil(commands.script(commands.find "convert", "onnx"))
        assert.is_nil(commands.script(commands.find "convert"))
        assert.is_nil(commands.script(commands.find "doctor"))
    end)

    it("have names that no recipe has", function()
        local seen = {}
        for _, name in ipairs(commands.names()) do
            name = name:gsub("_", "-")
            assert.is_nil(seen[name], name)
            seen[name] = true
        end
    end)

    it("say what they do, and so does every recipe, within 80 columns", function()
        local text = commands.recipes_text()
        for _, command in ipairs(commands.list) do text = text .. commands.help_text(command) end
        for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
        -- A line each: what the first line of a recipe says has room for 52 characters.
        assert.is_nil(commands.recipes_text():match "\n   +[^\n]*")
        for _, name in ipairs(commands.names()) do
            assert.is_truthy(text:find(name, 1, true), name)
            -- The published settings of one model stand below a heading of their own.
            local said = text:find("%f[%w_]" .. name:gsub("%-", "%%-") .. "%s+%S")
            assert.is_truthy(name:match "^dgxa100" or said, name)
        end
    end)
end)
