--- Documents of text files: dealt to shards, each whole, and tokenized in the order of the files.

local array = require "bertlua.array"
local document_files = require "bertlua.data.document_files"
local fs = require "bertlua.util.fs"

--- Words are tokens: "w7" is 7; anything else is none.
local TOKENIZER = { encode_array = function(_, line)
    local ids = {}
    for number in line:gmatch "w(%d+)" do ids[#ids + 1] = tonumber(number) end
    return array.int32(#ids > 0 and ids or 1), #ids
end }

describe("document files", function()
    local folder, files

    before_each(function()
        folder = assert(fs.temporary_folder())
        files = { folder .. "/a", folder .. "/b" }
        local lines = {}
        for d = 1, 30 do
            for s = 1, d % 4 + 1 do lines[#lines + 1] = ("w%d w%d"):format(d, s) end
            lines[#lines + 1] = ""
        end
        assert(fs.write(files[1], table.concat(lines, "\n") .. "\n"))
        assert(fs.write(files[2], "w100\n\n\nw200 w201\nno token here\n\nnothing at all\n\nw300"))
    end)
    after_each(function() fs.remove(folder) end)

    it("are found with their size", function()
        local documents = document_files.scan(files)
        assert.are.equal(34, documents:count())
        local sum = 0
        for i = 0, 33 do sum = sum + select(3, documents:get(i)) end
        assert.are.equal(sum, documents.bytes)
        assert.error_matches(function() document_files.scan { folder .. "/none" } end, "/none: ")
    end)

    it("go to one shard each, in shards of about equal size, dealt by the seed", function()
        local documents = document_files.scan(files)
        local function deal(shards, seed)
            local plan, order = document_files.deal(documents, shards, seed)
            local seen, text, at = {}, {}, 0
            for shard, part in ipairs(plan) do
                assert.are.equal(at, part.first)
                assert.is_true(part.last >= part.first)
                at = part.last + 1
                local bytes = 0
                for i = part.first, part.last do
                    local number = tonumber(order[i])
                    assert.is_nil(seen[number])
                    seen[number] = true
                    bytes = bytes + select(3, documents:get(number))
                    text[#text + 1] = shard .. ":" .. number
                end
                -- Within one document of the mean.
                assert.is_true(math.abs(bytes - documents.bytes / shards) < 60, bytes)
            end
            assert.are.equal(documents:count(), at)
            return table.concat(text, " ")
        end
        assert.are.equal(deal(4, 1), deal(4, 1))
        assert.are_not.equal(deal(4, 1), deal(4, 2))
        deal(1, 1)
        -- As many shards as documents: each has one.
        local plan = document_files.deal(documents, 34, 1)
        for i, part in ipairs(plan) do assert.are.same({ i - 1, i - 1 }, { part.first, part.last }) end
    end)

    it("become flat arrays; what has no token is left out", function()
        local documents = document_files.scan { files[2] }
        local order, reports = array.int64 { 3, 0, 2, 1 }, {}
        local corpus = document_files.tokenize(documents, order, { first = 0, last = 3 }, TOKENIZER,
            function(bytes) reports[#reports + 1] = bytes end)
        assert.are.same({ 3, 3, 4 }, { corpus.documents, corpus.sentences, corpus.token_count })
        local tokens, starts, borders = corpus.tokens:pointer(), corpus.sentence_starts, corpus.document_starts
        assert.are.same({ 100, 200, 201, 300 }, { tokens[0], tokens[1], tokens[2], tokens[3] })
        assert.are.same({ 0, 1, 3, 4 }, { starts[0], starts[1], starts[2], starts[3] })
        assert.are.same({ 0, 1, 2, 3 }, { borders[0], borders[1], borders[2], borders[3] })
        assert.are.equal(documents.bytes, corpus.bytes)
        assert.are.equal(corpus.bytes, reports[#reports])
    end)

    it("of a part are only those at its positions", function()
        local documents = document_files.scan(files)
        local order = array.int64 { 30, 5, 0, 33 }
        local corpus = document_files.tokenize(documents, order, { first = 1, last = 3 }, TOKENIZER)
        local tokens = corpus.tokens:pointer()
        assert.are.same({ 3, 1 }, { corpus.documents, tokens[0] })
        assert.are.equal(300, tokens[corpus.token_count - 1])
    end)

    it("must not change while they are read", function()
        local documents = document_files.scan { files[2] }
        assert(fs.write(files[2], "w1"))
        assert.error_matches(function()
            document_files.tokenize(documents, array.int64 { 0, 1, 2, 3 }, { first = 0, last = 3 }, TOKENIZER)
        end, "/b: changed while it was being read; start again$")
    end)
end)
