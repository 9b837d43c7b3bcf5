--- recipes/train_vocab.lua as a program.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local vocabulary = require "spec.support.vocabulary"

describe("train_vocab", function()
    it("learns from a folder, says what it did, and gives the same again", function()
        vocabulary.with_files(function(write, folder)
            write(("to be or not to be, that is the question\n"):rep(4))
            local function start(arguments)
                local pipe = assert(io.popen((process.bertlua .. " recipes/train_vocab.lua %s 2>&1; echo code $?")
                    :format(arguments)))
                local text = pipe:read "*a"
                pipe:close()
                return text
            end
            local base = "--input-dir " .. folder .. " --vocab-size 45 --output-file " .. folder
            local text = start(base .. "/first.vocab")
            assert.is_truthy(text:find("code 0", 1, true), text)
            assert.is_truthy(text:find("words       44, 9 distinct", 1, true), text)
            start(base .. "/second.vocab")
            local first = assert(fs.read(folder .. "/first.vocab"))
            assert.are.equal(first, fs.read(folder .. "/second.vocab"))
            local _, lines = first:gsub("\n", "")
            assert.are.equal(45, lines)
            assert.are.equal("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", first:sub(1, 31))

            text = start("--input-dir " .. folder .. " --vocab-size 10 --output-file " .. folder .. "/no.vocab")
            assert.is_truthy(text:find("code 1", 1, true), text)
            assert.is_truthy(text:find("vocab_size is 10, expected at least", 1, true), text)
            assert.is_false(fs.exists(folder .. "/no.vocab"))

            text = start("--output-file " .. folder .. "/no.vocab")
            assert.is_truthy(text:find("no text given", 1, true), text)
            assert.is_truthy(text:find("code 1", 1, true), text)
        end)
    end)
end)
