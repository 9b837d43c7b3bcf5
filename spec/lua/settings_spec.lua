--- Settings: parsing, validation, help and tables.

local settings = require "bertlua.settings"
local fault = require "bertlua.fault"

local function define()
    return settings.define {
        { name = "batch_size", type = "integer", default = 32, min = 1, group = "Training",
            help = "sequences per step" },
        { name = "learning_rate", type = "number", default = 1e-4, above = 0, group = "Training", help = "peak rate" },
        { name = "amp", type = "boolean", default = false, group = "Advanced", help = "mixed precision" },
        { name = "optimizer", type = "choice", choices = { "Lamb", "AdamW" }, default = "Lamb", help = "optimizer" },
        { name = "last_step_of_checkpoint", type = "choice", choices = { "none", "auto" }, or_integer = true,
            default = "none", help = "step to resume from" },
        { name = "beta1", type = "number", min = 0, below = 1, help = "decay" },
        { name = "input_dir", type = "path", help = "folder of shards" },
    }
end

local function fault_of(fn, ...)
    local ok, value = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(value), "not a fault: " .. tostring(value))
    return tostring(value)
end

describe("settings", function()
    local spec
    before_each(function() spec = define() end)

    local function refused(...)
        return fault_of(spec.parse, spec, { ... })
    end

    it("gives the defaults", function()
        local values = spec:parse {}
        assert.are.same({ batch_size = 32, learning_rate = 1e-4, amp = false, optimizer = "Lamb",
            last_step_of_checkpoint = "none" }, values)
    end)

    it("lets the command line win over the recipe and the recipe over the default", function()
        local values, sources = spec:parse({ "--batch-size", "8" }, { batch_size = 4, learning_rate = 0.5 })
        assert.are.equal(8, values.batch_size)
        assert.are.equal(0.5, values.learning_rate)
        assert.are.same({ batch_size = "command line", learning_rate = "recipe" }, sources)
    end)

    it("reads every spelling of an option", function()
        for _, argv in ipairs { { "--batch-size", "8" }, { "--batch-size=8" }, { "--batch_size=8" },
            { "--batch_size", "8.0" } } do
            assert.are.equal(8, spec:parse(argv).batch_size)
        end
    end)

    it("reads every spelling of a boolean", function()
        for _, argv in ipairs { { "--amp" }, { "--amp", "true" }, { "--amp=yes" }, { "--amp", "1" },
            { "--amp=TRUE" } } do
            assert.is_true(spec:parse(argv).amp)
        end
        for _, argv in ipairs { { "--no-amp" }, { "--amp", "false" }, { "--amp=no" }, { "--amp", "0" } } do
            assert.is_false(spec:parse(argv, { amp = true }).amp)
        end
        local values = spec:parse { "--amp", "--batch-size", "2" }
        assert.is_true(values.amp)
        assert.are.equal(2, values.batch_size)
    end)

    it("reads choices in any case, and numbers where they are allowed", function()
        assert.are.equal("AdamW", spec:parse({ "--optimizer", "adamw" }).optimizer)
        assert.are.equal("auto", spec:parse({ "--last-step-of-checkpoint", "auto" }).last_step_of_checkpoint)
        assert.are.equal(20, spec:parse({ "--last-step-of-checkpoint", "20" }).last_step_of_checkpoint)
    end)

    it("unsets a setting that has no default", function()
        assert.is_nil(spec:parse({ "--input-dir", "none" }, { input_dir = "data" }).input_dir)
    end)

    it("refuses values out of type, range or choice, naming all three parts", function()
        assert.are.equal('--batch-size: got "0", expected an integer of at least 1', refused("--batch-size", "0"))
        assert.are.equal('--batch-size: got "1.5", expected an integer of at least 1', refused("--batch-size", "1.5"))
        assert.are.equal('--batch-size: got "nan", expected an integer of at least 1', refused("--batch-size", "nan"))
        assert.are.equal('--learning-rate: got "0", expected a number above 0', refused("--learning-rate=0"))
        assert.are.equal('--learning-rate: got "inf", expected a number above 0', refused("--learning-rate=inf"))
        assert.are.equal('--beta1: got "1", expected a number of at least 0 and below 1', refused("--beta1", "1"))
        assert.are.equal('--optimizer: got "sgd", expected one of Lamb, AdamW', refused("--optimizer", "sgd"))
        assert.are.equal('--amp: got "maybe", expected true or false', refused("--amp=maybe"))
        assert.are.equal('--last-step-of-checkpoint: got "-3", expected one of none, auto or a step number',
            refused("--last-step-of-checkpoint", "-3"))
        assert.are.equal("batch_size: got true, expected an integer of at least 1",
            fault_of(spec.parse, spec, {}, { batch_size = true }))
    end)

    it("refuses a missing value and a stray argument", function()
        assert.matches("%-%-batch%-size: missing value", refused("--batch-size"))
        assert.matches("%-%-batch%-size: missing value", refused("--batch-size", "--amp"))
        assert.matches('unexpected argument "data"', refused("data"))
        assert.are.equal('--amp: got "maybe", expected true or false', refused("--amp", "maybe"))
        assert.matches('unexpected argument "data"', refused("--amp", "true", "data"))
    end)

    it("takes an option once", function()
        for second, message in pairs {
            ["--batch-size=5"] = "--batch-size: given twice, and one value is possible: leave one of them out",
            ["--batch_size=4"] = "--batch_size: given twice (also as --batch-size), and one value is possible: leave "
                .. "one of them out",
        } do
            assert.are.equal(message, refused("--batch-size", "4", second))
        end
    end)

    it("leaves out what is to be replaced", function()
        local own = settings.define {
            { name = "epochs", type = "integer" }, { name = "amp", type = "boolean" },
            { name = "seed", type = "integer" },
        }
        local argv = { "--epochs", "3", "--no-amp", "--seed=4", "word", "--", "--amp" }
        assert.are.same({ "--no-amp", "--seed=4", "word", "--" },
            own:without({ unpack(argv, 1, 6) }, { epochs = true }))
        assert.are.same({ "--epochs", "3", "word" }, own:without({ unpack(argv, 1, 5) }, { amp = true, seed = true }))
        assert.are.same({}, own:without({ "--amp", "true" }, { amp = true }))
    end)

    it("says what was probably meant", function()
        assert.are.equal("unknown setting --batch-sise; did you mean --batch-size?", refused("--batch-sise", "8"))
        assert.are.equal("unknown setting --bacth-size; did you mean --batch-size?", refused("--bacth-size=8"))
        assert.are.equal("unknown setting --zzz; --help lists the settings", refused("--zzz"))
        assert.are.equal("unknown setting ampp; did you mean amp?", fault_of(spec.parse, spec, {}, { ampp = true }))
    end)

    it("collects positional arguments where a program takes them", function()
        local values = spec:parse({ "a.txt", "--amp", "b.txt" }, nil, { positional = { name = "files" } })
        assert.are.same({ "a.txt", "b.txt" }, values.files)
        assert.is_true(values.amp)
    end)

    it("requires what is required", function()
        local strict = settings.define { { name = "max_steps", type = "integer", min = 1, required = true } }
        assert.are.equal("--max-steps is required: expected an integer of at least 1",
            fault_of(strict.parse, strict, {}))
        assert.are.equal(3, strict:parse({ "--max-steps=3" }).max_steps)
    end)

    it("prints help that fits 80 columns and shows the recipe's own values", function()
        local text
        spec:parse({ "--help" }, { batch_size = 7 }, { program = "x.lua", description = ("word "):rep(60),
            on_help = function(t) text = t end })
        for line in text:gmatch("[^\n]*") do assert.is_true(#line <= 80, line) end
        for _, name in ipairs(spec.names) do
            assert.is_truthy(text:find("--" .. name:gsub("_", "-"), 1, true), name)
        end
        assert.is_truthy(text:find("(default 7)", 1, true))
        assert.is_truthy(text:find("\nTraining:\n", 1, true))
    end)

    it("prints Markdown with one row per setting", function()
        local _, rows = spec:table_markdown():gsub("\n| `", "")
        assert.are.equal(#spec.list, rows)
    end)

    it("extends and narrows a spec", function()
        local wider = spec:extend { { name = "seed", type = "integer", default = 1 },
            { name = "batch_size", type = "integer", default = 2 } }
        assert.are.equal(#spec.list + 1, #wider.list)
        assert.are.equal(2, wider:parse({}).batch_size)
        assert.are.same({ amp = false }, spec:subset({ "amp" }):parse {})
    end)

    it("refuses a wrong definition", function()
        assert.has_error(function() settings.define { { name = "Bad", type = "integer" } } end)
        assert.has_error(function() settings.define { { name = "x", type = "float" } } end)
        assert.has_error(function() settings.define { { name = "x", type = "integer", default = "a" } } end)
        assert.has_error(function()
            settings.define { { name = "x", type = "integer" }, { name = "x", type = "integer" } }
        end)
    end)
end)
