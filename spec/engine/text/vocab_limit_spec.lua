--- The vocabulary trainer under a memory limit: exact counts via the disk, the rarest words left out, the
-- process within its limit.

local fs = require "bertlua.util.fs"
local process = require "spec.support.process"
local rng = require "bertlua.rng"
local text_native = require "bertlua.text"

local FOLDER

local function learn(texts, options)
    local trainer = text_native.trainer(true)
    if options.limit then trainer:limit(options.limit, FOLDER) end
    for _, text in ipairs(texts) do trainer:add(text) end
    assert(trainer:begin(options.vocab_size, options.min_frequency or 1, options.alphabet_limit or 1000))
    repeat until trainer:step(50)
    local tokens, stats = {}, trainer:stats()
    for id = 0, stats.tokens - 1 do tokens[id + 1] = trainer:token(id) end
    return tokens, stats
end

--- Whole numbers in [1, n].
local function random_from(seed)
    local generator = rng.new(seed, 0)
    return function(n) return math.floor(generator:double() * n) + 1 end
end

--- So many distinct words of letters, each so often, mixed in pieces of text.
local function words_of(letters, count, low, high, seed)
    local random = random_from(seed)
    local seen, all = {}, {}
    while #seen < count do
        local parts = {}
        for i = 1, 3 + random(7) do parts[i] = letters[random(#letters)] end
        local word = table.concat(parts)
        if not seen[word] then
            seen[word] = true
            seen[#seen + 1] = word
            for _ = 1, low + random(high - low + 1) - 1 do all[#all + 1] = word end
        end
    end
    for i = #all, 2, -1 do
        local k = random(i)
        all[i], all[k] = all[k], all[i]
    end
    return table.concat(all, " ") .. " ", #all
end

describe("vocabulary trainer under a limit", function()
    setup(function() FOLDER = process.temporary_folder() end)
    teardown(function() fs.remove(FOLDER) end)

    it("counts on disk what does not fit in memory, and learns the same", function()
        -- Chinese characters are words of their own: thousands of words that cost little to learn from.
        local characters = {}
        for i = 0, 2999 do
            local c = 0x4e00 + i
            characters[i + 1] = string.char(0xe0 + math.floor(c / 4096), 0x80 + math.floor(c / 64) % 64, 0x80 + c % 64)
        end
        local texts = { table.concat(characters), (words_of({ "a", "b", "c" }, 60, 3, 9, 1)), table.concat(characters),
            (words_of({ "a", "b", "c" }, 60, 3, 9, 1)) }
        local options = { vocab_size = 3200, alphabet_limit = 4000 }
        local expected, plain = learn(texts, options)
        options.limit = 140000
        local tokens, stats = learn(texts, options)
        assert.are.equal(3060, stats.distinct_words)
        assert.are.same(plain, stats)
        assert.are.same(expected, tokens)
        assert.are.same({}, fs.list(FOLDER))
    end)

    it("leaves out the rarest words, and says how many", function()
        local letters = { "a", "b", "c", "d", "e", "f" }
        local often = words_of(letters, 300, 4, 20, 2)
        -- Other letters, so that no word is in both; the alphabet is that of all words.
        local rare, rare_count = words_of({ "u", "v", "w", "x", "y", "z" }, 4000, 1, 3, 3)
        local expected = learn({ often }, { vocab_size = 200 })
        local tokens, stats = learn({ rare, often }, { vocab_size = 212, limit = 250000 })
        assert.are.equal(rare_count, stats.rare_words)
        assert.are.equal(4000, stats.rare_distinct_words)
        assert.are.equal(3, stats.rare_count)
        assert.are.equal(4300, stats.distinct_words)
        assert.are.equal(12, stats.characters)
        local joined, list = {}, {}
        for _, token in ipairs(tokens) do
            if not token:find "[u-z]" then joined[#joined + 1] = token end
        end
        for _, token in ipairs(expected) do list[#list + 1] = token end
        assert.are.same(list, joined)
    end)

    it("refuses a limit that does not hold the most frequent words, and one that comes late", function()
        local trainer = text_native.trainer(true)
        trainer:limit(1000, FOLDER)
        trainer:add(("abcdefghij klmnopqrst "):rep(70000))
        local good, message = trainer:begin(100, 1, 1000)
        assert.is_nil(good)
        assert.is_truthy(message:find("the words that occur 65536 times or more take 1 MB", 1, true), message)
        assert.has_error(function() trainer:limit(1000000, FOLDER) end)
        assert.has_error(function() text_native.trainer(true):limit(0, FOLDER) end)
    end)

    it("keeps a process within memory_limit whatever the words", function()
        local folder = process.temporary_folder()
        assert(fs.mkdirs(folder .. "/in"))
        local random = random_from(9)
        local list = {}
        for i = 1, 650000 do
            list[i] = string.char(96 + random(26), 96 + random(26), 96 + random(26), 96 + random(26), 96 + random(26),
                96 + random(26), 96 + random(26), 96 + random(26), i % 20 == 0 and 10 or 32)
        end
        assert(fs.write(folder .. "/in/a.txt", table.concat(list)))
        assert(fs.write(folder .. "/in/b.txt", "the mill and the wheel and the mill\n"))
        assert(fs.write(folder .. "/measure.lua", [[
            local limit = tonumber(arg[3])
            local _, stats = require("bertlua.text.vocab_trainer").train { files = { arg[1], arg[2] },
                vocab_size = 400, memory_limit = limit and limit * 2 ^ 20, scratch_folder = arg[4] }
            print((require("bertlua.process").memory_peak()), stats.distinct_words, stats.rare_distinct_words)
        ]]))
        local function peak(limit)
            local output = process.run_bertlua(("%s/measure.lua %s/in/a.txt %s/in/b.txt %s %s"):format(folder, folder,
                folder, limit, folder))
            local bytes, distinct, rare = output:match "^(%d+)\t(%d+)\t(%d+)\n$"
            assert.is_truthy(bytes, output)
            return tonumber(bytes), tonumber(distinct), tonumber(rare)
        end
        -- A build with sanitizers has other sizes: there only the results count.
        local sanitized = (os.getenv "LD_PRELOAD" or ""):find("asan", 1, true)
        local free, distinct, none = peak "none"
        local bounded, same, left_out = peak "80"
        fs.remove(folder)
        assert.are.equal(0, none)
        assert.are.equal(distinct, same)
        assert.is_true(left_out > 600000)
        if not sanitized then
            assert.is_true(free > 80 * 2 ^ 20, "without a limit: " .. free)
            assert.is_true(bounded < 80 * 2 ^ 20, "with it: " .. bounded)
        end
    end)

    it("names a full disk with the offset", function()
        local folder = process.temporary_folder()
        local text = words_of({ "a", "b", "c", "d", "e", "f", "g", "h" }, 20000, 1, 1, 5)
        assert(fs.write(folder .. "/text", text))
        assert(fs.write(folder .. "/full.lua", [[
            local trainer = require("bertlua.text").trainer(true)
            trainer:limit(400000, arg[2])
            trainer:add(assert(require("bertlua.util.fs").read(arg[1])))
            print(trainer:begin(300, 1, 1000))
        ]]))
        local output = process.run(("ulimit -f 100; trap '' XFSZ; %s %s/full.lua %s/text %s"):format(
            process.quote(process.bertlua), folder, folder, folder))
        assert.is_truthy(output:find(folder .. "/(temporary word counts): cannot write at byte ", 1, true), output)
        assert.is_truthy(output:find("no space left", 1, true), output)
        assert.are.same({ "full.lua", "text" }, fs.list(folder))
        fs.remove(folder)
    end)
end)
