--- The code of docs/tutorial.md runs as it stands, block after block, and shows what its comments say.

local fs = require "bertlua.util.fs"
local lfs = require "lfs"
local pretraining = require "spec.support.pretraining"

--- All Lua of a page as one program. Its names stay from block to block, as they do at the prompt.
local function program(path)
    local blocks = {}
    for block in assert(fs.read(path)):gmatch "```lua\n(.-)```" do
        blocks[#blocks + 1] = ("\n" .. block):gsub("\nlocal ([%w_]+) =", "\n%1 =")
    end
    return table.concat(blocks, "\n"), #blocks
end

describe("the tutorial", function()
    it("runs", function()
        local folder = assert(fs.temporary_folder "bertlua-tutorial")
        local code, blocks = program "docs/tutorial.md"
        assert.is_true(blocks > 10)
        assert(fs.write(folder .. "/tutorial.lua", code))
        local root = lfs.currentdir()
        local binary = pretraining.BINARY:sub(1, 1) == "/" and pretraining.BINARY or root .. "/" .. pretraining.BINARY
        local exit, output = pretraining.shell(("cd %s && %s tutorial.lua"):format(folder, binary))
        assert.are.equal(0, exit, output)
        for _, expected in ipairs { "f32 100x3 cpu", "\npositive\n", "the acting was great", "\n3\n",
            "200%s+0%.0%d+\n", "frozen" } do
            assert.matches(expected, output)
        end
        -- Nothing that says nothing to its reader.
        for _, text in ipairs { "table: 0x", "cdata<", "is not defined" } do
            assert.is_nil(output:find(text, 1, true), output)
        end
        -- Always "other" would have 60 %.
        assert.is_true(tonumber(output:match "accuracy (%d+%.%d+)") > 85, output)
        --- Run the task of one file, with its output in a folder.
        local function score(out, options)
            exit, output = pretraining.shell(("cd %s && %s %s/examples/own_task.lua --train-file train.csv "
                .. "--dev-file dev.csv --epochs 5 --output-dir %s %s"):format(folder, binary, root, out, options))
            assert.are.equal(0, exit, output)
        end
        score("straight", "")
        assert.is_true(tonumber(output:match "error %(RMSE%) ([%d.]+)") < 2.5, output)
        score("stopped", "--steps-this-run 7")
        score("stopped", "")
        local file = "/bert-base-uncased/scores/65/model.safetensors"
        assert.is_true(fs.read(folder .. "/straight" .. file) == fs.read(folder .. "/stopped" .. file))
        fs.remove(folder)
    end)
end)
