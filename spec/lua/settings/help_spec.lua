--- Settings laid out for people: within 80 columns, in groups, as text and as Markdown.

local help = require "bertlua.settings.help"

local SPEC = { list = {
    { name = "batch_size", type = "integer", default = 32, group = "Training", help = "sequences per micro-step" },
    { name = "amp", type = "boolean", default = false, group = "Precision", help = "mixed precision" },
    { name = "learning_rate", type = "number", default = 6e-3, group = "Training", help = "peak | a rate" },
    { name = "optimizer", type = "choice", choices = { "Lamb", "AdamW" }, default = "Lamb", help = "which" },
    { name = "last_step_of_checkpoint", type = "choice", choices = { "none", "auto" }, or_integer = true,
        help = "step to resume from" },
    { name = "input_dir", type = "path", required = true, help = ("word "):rep(20) },
} }

local function has(text, part)
    assert.is_truthy(text:find(part, 1, true), text)
end

describe("help", function()
    it("shows values as a user would type them", function()
        for text, value in pairs { ["0.006"] = 6e-3, ["1048576"] = 2 ^ 20, ["1e-06"] = 1e-6, ["-3"] = -3,
            ["1e+20"] = 1e20, ["false"] = false, ["a b"] = "a b" } do
            assert.are.equal(text, help.value_text(value))
        end
        assert.are.equal("none", help.value_text(nil))
    end)

    it("breaks lines at spaces, and words that are too long after a comma", function()
        assert.are.same({ "one two", "three" }, help.wrap("one  two\nthree", 8))
        assert.are.same({ "a/b/", "cdef" }, help.wrap("a/b/cdef", 6))
        assert.are.same({ "x", "abcdef", "gh" }, help.wrap("x abcdefgh", 6))
        assert.are.same({ "" }, help.wrap("", 8))
    end)

    it("lists options in groups, with a recipe's values before the defaults", function()
        local text = help.text(SPEC, { batch_size = 7 }, { program = "recipes/x.lua", description = ("long "):rep(30),
            positional = { name = "text", help = "sentences" } })
        for line in text:gmatch "[^\n]*" do assert.is_true(#line <= 80, line) end
        has(text, "Usage: bertlua recipes/x.lua [settings] TEXT\n")
        has(text, "\n  TEXT                          sentences\n")
        has(text, "\nTraining:\n  --batch-size N                sequences per micro-step (default 7)\n"
            .. "  --learning-rate X             peak | a rate (default 0.006)\n\nPrecision:\n")
        has(text, "  --optimizer Lamb|AdamW        which: Lamb, AdamW (default Lamb)\n")
        -- A long option has its meaning below it.
        has(text, "\n  --last-step-of-checkpoint CHOICE\n" .. (" "):rep(32)
            .. "step to resume from: none, auto, or a number\n")
        has(text, "(required)")
        assert.is_nil(help.text({ list = {} }, nil, {}):find "%-%-batch")
        -- A program without settings says nothing of any.
        assert.are.equal("Usage: bertlua quantize FROM TO\n\n  FROM TO                       folders\n",
            help.text({ list = {} }, nil,
                { program = "quantize", positional = { name = "from to", help = "folders" } }))
    end)

    it("lists resolved values", function()
        assert.are.equal("Training\n  batch_size                       8\n  learning_rate                    none\n"
            .. "Precision\n  amp                              true\n",
            help.values({ list = { SPEC.list[1], SPEC.list[2], SPEC.list[3] } }, { batch_size = 8, amp = true }))
    end)

    it("makes a Markdown table per group, with a row per setting", function()
        local text = help.markdown(SPEC)
        has(text, "**Training**\n\n| setting | values | default | meaning |\n|---|---|---|---|\n"
            .. "| `batch_size` | integer | `32` | sequences per micro-step |\n"
            .. "| `learning_rate` | number | `0.006` | peak \\| a rate |\n\n**Precision**\n")
        has(text, "| `last_step_of_checkpoint` | none, auto, number | `none` | step to resume from |")
        has(text, "| `input_dir` | path | required | ")
        assert.are.equal(#SPEC.list, select(2, text:gsub("\n| `", "")))
    end)
end)
