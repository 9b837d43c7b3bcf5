--- Write the documentation of the Lua API: HTML that LDoc makes from the comments in the sources, with the pages of
-- docs/.
--
--     make docs                                    into build/docs/html
--     bertlua scripts/api_docs.lua build/docs
--
-- LDoc reads a copy of the sources in which each file says its module's name, as `require` takes it; in which a line
-- describes one parameter; and in which a function that only wraps one of the engine carries the comment of the
-- engine's header.

local fault = require "bertlua.fault"
local fs = require "bertlua.util.fs"
local help = require "bertlua.prompt.help"
local paths = require "bertlua.paths"
local shell = require "bertlua.util.shell"

-- Folders whose files are the modules bertlua.*.
local SOURCES = { "bindings/bertlua", "lua/bertlua" }

-- Appended to LDoc's own style sheet.
local STYLE = [[

/* Comments are laid out by their authors: lists and formulas keep their lines. */
#content p, #content > ul li, #content dd { white-space: pre-wrap; }
]]

local CONFIG = [[
project = "bertlua"
title = "bertlua: Lua API"
description = "Train and use BERT-class encoders from Lua"
format = "markdown"
file = "src"
topics = "topics"
dir = "html"
sort_modules = true
not_luadoc = true
]]

--- Lua files below a folder: list of {path, module}.
local function modules_in(folder, prefix, found)
    for _, name in ipairs(fault.check(fs.list(folder))) do
        local path = fs.join(folder, name)
        if fs.is_directory(path) then
            modules_in(path, prefix .. "." .. name, found)
        elseif name:match "%.lua$" then
            local stem = name:gsub("%.lua$", "")
            found[#found + 1] = { path = path, module = stem == "init" and prefix or prefix .. "." .. stem }
        end
    end
    return found
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

-- Comments are plain text, not HTML.
local function escape(text)
    return (text:gsub("[&<>]", ENTITIES))
end

local function lines_of(text)
    local lines = {}
    for line in (text:gsub("\n?$", "\n")):gmatch "(.-)\n" do lines[#lines + 1] = line end
    return lines
end

--- The names that a "@param a, b sizes" line describes, and what it says of them.
local function described(rest)
    local names = {}
    local name, more = rest:match "^([%w_]+), (.*)$"
    while name do
        names[#names + 1], rest = name, more
        name, more = rest:match "^([%w_]+), (.*)$"
    end
    local last, text = rest:match "^(%S+)%s*(.*)$"
    names[#names + 1] = last
    return names, text
end

--- Arguments of the function that a line declares, or nil.
local function arguments(line)
    local list = line:match "^function [%w_.:]+(%b())"
    if not list then return nil end
    local names = {}
    for name in list:gmatch "[%w_.]+" do names[#names + 1] = name end
    return names
end

--- A comment with one "@param" for each argument of its function, in their order: LDoc matches them by place.
local function add_comment(out, comment, declaration)
    local names = arguments(declaration)
    local by_name, parts, current, first = {}, {}, nil, nil
    for _, line in ipairs(comment) do
        local rest = line:match "^%-%-%-? @t?param%f[%s%[][^ ]* (.*)$"
        -- A type is part of the text.
        if rest and line:match "^%-%-%-? @tparam" then rest = rest:gsub("^(%S+) (%S+)", "%2 (%1)", 1) end
        if rest then
            local list, text = described(rest)
            current = { text }
            for _, name in ipairs(list) do by_name[name] = current end
            first = first or #parts + 1
        elseif line:match "^%-%- @" or not current then
            current = nil
            parts[#parts + 1] = line
        else
            current[#current + 1] = line:match "^%-%-%s*(.-)%s*$"
        end
    end
    for i = 1, #parts + 1 do
        for _, name in ipairs(i == first and (names or {}) or {}) do
            -- LDoc keeps only the first line of a parameter with it.
            local text = by_name[name] or {}
            out[#out + 1] = ("-- @param %s %s"):format(name, table.concat(text, " "))
        end
        out[#out + 1] = parts[i]
    end
end

--- The comment of the engine's header above a wrapper that has none of its own.
local function add_declaration(out, name)
    local text, declaration = help.declaration(name)
    if not text then return end
    for i, line in ipairs(lines_of(escape(text .. "\n\n" .. declaration))) do
        out[#out + 1] = (i == 1 and "--- " or "--     ") .. line
    end
end

--- The declaration of a function that starts at a line, without its body.
local function declaration_at(lines, i)
    local text = table.concat(lines, " ", i, math.min(i + 5, #lines))
    local declaration = text:match "^function [%w_.:]+%b()"
    return declaration and declaration .. " end"
end

--- The copy of a source that LDoc reads: comments and declarations of what is public.
local function staged(source, module)
    local out, comment, in_head = {}, {}, true
    local lines = lines_of(source)
    for i, line in ipairs(lines) do
        if line:match "^%-%-" then
            comment[#comment + 1] = escape(line)
        else
            local declaration = declaration_at(lines, i)
            if in_head then
                for _, each in ipairs(comment) do
                    if not each:match "^%-%- @%a*mod" then out[#out + 1] = each end
                end
                out[#out + 1] = "-- @module " .. module
                in_head = false
            end
            if declaration then
                if #comment > 0 then
                    add_comment(out, comment, declaration)
                else
                    add_declaration(out, declaration:match "([%w_]+)%(")
                end
                out[#out + 1] = declaration
            end
            out[#out + 1] = ""
            comment = {}
        end
    end
    return table.concat(out, "\n") .. "\n"
end

--- Headings of a page: the anchor that Markdown's links use, to the one that LDoc writes.
local function anchors_of(text)
    local anchors = {}
    for heading in ("\n" .. text):gmatch "\n#+ ([^\n]+)" do
        local slug = heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
        anchors[slug] = heading:gsub("[^%w]", "_")
    end
    return anchors
end

--- Pages of docs/, with links between them as LDoc names pages and headings. What lies outside docs/ is named without a
-- link, since it is not among the HTML files.
local function stage_pages(into)
    local folder, pages, anchors = fs.join(paths.root(), "docs"), {}, {}
    for _, name in ipairs(fault.check(fs.list(folder))) do
        if name:match "%.md$" then
            pages[name] = fault.check(fs.read(fs.join(folder, name)))
            anchors[name] = anchors_of(pages[name])
        end
    end
    for name, text in pairs(pages) do
        text = text:gsub("%[([^%]\n]-)%]%(([%w_./-]*)#?([^)%s]*)%)", function(shown, target, anchor)
            local page = target == "" and name or target
            if not pages[page] then return not target:find "://" and shown or nil end
            local place = anchors[page][anchor]
            return ("[%s](%s%s)"):format(shown, target == "" and "" or target .. ".html", place and "#" .. place or "")
        end)
        fault.check(fs.write(fs.join(into, name), text))
    end
end

local function make(folder)
    if os.execute "command -v ldoc > /dev/null" ~= 0 then
        fault.raise "ldoc is not installed: scripts/install_dependencies.sh docs"
    end
    fs.remove(folder)
    for _, source in ipairs(SOURCES) do
        for _, found in ipairs(modules_in(fs.join(paths.root(), source), "bertlua", {})) do
            local path = fs.join(folder, "src", (found.module:gsub("%.", "/"))) .. ".lua"
            fault.check(fs.mkdirs(fs.dirname(path)))
            fault.check(fs.write(path, staged(fault.check(fs.read(found.path)), found.module)))
        end
    end
    fault.check(fs.mkdirs(fs.join(folder, "topics")))
    stage_pages(fs.join(folder, "topics"))
    fault.check(fs.write(fs.join(folder, "config.ld"), CONFIG))
    local command = ("cd %s && ldoc -q --fatalwarnings ."):format(shell.quote(folder))
    if os.execute(command) ~= 0 then fault.raise "ldoc failed" end
    local style = fs.join(folder, "html/ldoc.css")
    fault.check(fs.write(style, fault.check(fs.read(style)) .. STYLE))
    io.stdout:write(("%s\n"):format(fs.join(folder, "html/index.html")))
end

if not (arg and arg[1]) then fault.raise "usage: bertlua scripts/api_docs.lua FOLDER, which is replaced" end
make(arg[1])
