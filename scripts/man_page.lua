--- Writes the manual page bertlua.1 (mdoc): commands and recipes from their tables, the rest stands here.
--
--     bertlua scripts/man_page.lua > bertlua.1
--
-- `make install` does so. Settings are not in it: `bertlua NAME --help` shows them.

local commands = require "bertlua.prompt.commands"
local paths = require "bertlua.paths"
local recipe_files = require "bertlua.util.recipe_files"
local term = require "bertlua.util.term"

-- What mdoc would read as its own: a backslash, and a dot or an apostrophe at the start of a line.
local function escaped(text)
    return (text:gsub("\\", "\\e"):gsub("^[.']", "\\&%0"):gsub("\n([.'])", "\n\\&%1"))
end

local function items(list)
    local lines = { ".Bl -tag -width Ds" }
    for _, item in ipairs(list) do
        lines[#lines + 1] = item[1]
        lines[#lines + 1] = escaped(term.wrap(item[2] .. ".", 78, 0))
    end
    lines[#lines + 1] = ".El"
    return table.concat(lines, "\n")
end

-- Words of a synopsis: letters name what is to be put there, the rest stands as it is.
local function arguments(text)
    local parts = {}
    for word in text:gmatch "%S+" do
        local optional = word:match "^%[(.*)%]$"
        if optional then
            parts[#parts + 1] = "Op Ar " .. optional
        else
            parts[#parts + 1] = "Cm " .. word:gsub("|", " | ")
        end
    end
    return table.concat(parts, " ")
end

local function command_items()
    local list = {}
    for _, command in ipairs(commands.list) do
        list[#list + 1] = { (".It Cm %s %s"):format(command.name, arguments(command.arguments)):gsub("%s+$", ""),
            (command.summary:gsub("^%l", string.upper)) }
    end
    return list
end

local function recipe_items()
    local list = {}
    for _, name in ipairs(recipe_files.names(paths.root())) do
        list[#list + 1] = { ".It Cm " .. name, recipe_files.summary(recipe_files.find(paths.root(), name)) }
    end
    return list
end

local PAGE = [[
.Dd $Mdocdate$
.Dt BERTLUA 1
.Os
.Sh NAME
.Nm bertlua
.Nd train, run and embed BERT encoders
.Sh SYNOPSIS
.Nm
.Op Fl -device Ar device
.Op Ar name | file Op Ar argument ...
.Nm
.Op Fl -device Ar device
.Fl e Ar code
.Op Ar argument ...
.Nm
.Fl -version
.Nm
.Fl -help
.Sh DESCRIPTION
.Nm
runs recipes: Lua files that set values and start a job, such as pre-training,
fine-tuning or prediction.
Without arguments it opens a prompt for Lua, or runs standard input if that is
no terminal.
.Pp
A word with a slash, or one that ends in
.Pa .lua ,
is a
.Ar file
of Lua: as given, or else below
.Nm Ns 's
own folder.
A bare word is the
.Ar name
of a command or a recipe, with underscores or dashes; a file of the current
folder never takes its place.
.Pp
Settings of a recipe are written
.Fl -name Ar value ;
.Nm
.Ar name
.Fl -help
lists them with the recipe's own values.
.Pp
The options are:
.Bl -tag -width Ds
.It Fl -device Cm cpu | cuda | auto
Where to compute;
.Cm auto
is a GPU where one is found.
Recipes have a setting of that name.
.It Fl e Ar code
Run
.Ar code ;
print the value of an expression.
.It Fl
Run standard input.
.It Fl -version , Fl v
Print versions of
.Nm ,
its libraries and backends.
.It Fl -help , Fl h
Print a summary.
.El
.Ss Commands
COMMANDS
.Ss Recipes
RECIPES
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev BERTLUA_DEVICE
The device, as
.Fl -device .
.It Ev BERTLUA_CPU_BF16
.Cm fast
or
.Cm slow :
whether this CPU multiplies bf16 at least as fast as fp32, in place of a
measurement.
.It Ev BERTLUA_LIB
Path of another build of the library.
.It Ev BERTLUA_CUDA_LIB
Path of another build of the CUDA backend.
.It Ev BERTLUA_MAX_CPU
The highest level of CPUs whose kernels are used, such as x86-64-v3, in a build
that has several.
.It Ev BL_DEBUG
1 shows tracebacks.
.It Ev NO_COLOR
Turns colours off.
.It Ev OMP_NUM_THREADS
Number of threads.
.El
.Sh FILES
Below the folder that
.Nm
was installed to:
.Bl -tag -width Ds
.It Pa share/bertlua
Recipes, examples, vocabularies and configurations of the published models, and
the Lua modules.
.It Pa include/bertlua/bertlua.h
The C interface; pkg-config knows it as
.Li bertlua .
.El
.Sh EXIT STATUS
0 if all went well, 1 for mistakes and failures.
A run that a signal has stopped after it has saved its state: 128 and the number
of the signal, such as 130 after Ctrl-C.
.Sh EXAMPLES
Fine-tune a classifier, and use it:
.Bd -literal -offset indent
bertlua finetune_classify --train-file train.csv --dev-file dev.csv \e
    --bert-model custom --from-pretrained-params MODEL \e
    --output-dir results
bertlua predict --checkpoint results --input texts.txt
.Ed
.Pp
Read a model of another program, and write it for transformers:
.Bd -literal -offset indent
bertlua convert from-huggingface --input MODEL --output-dir converted
bertlua convert to-huggingface --checkpoint converted --output-dir exported
.Ed
.Pp
Make a model smaller and faster:
.Bd -literal -offset indent
bertlua quantize MODEL MODEL-int8
bertlua embed --checkpoint MODEL-int8 --input texts.txt --output vectors.npy
.Ed
]]

local text = { COMMANDS = items(command_items()), RECIPES = items(recipe_items()) }
io.stdout:write((PAGE:gsub("%f[%u]%u+%f[%W]", text)))
