--- The language of a corpus: codes are checked, because ICU itself accepts any word
-- and silently falls back to language-neutral rules.
-- @module bertlua.corpus.languages

local fault = require "bertlua.fault"
local native = require "bertlua.text"
local suggest = require "bertlua.util.suggest"

local languages = {}

-- Wikipedias whose code is not a language code, and the locale for their sentences.
local LOCALES = { simple = "en", als = "gsw", ["bat-smg"] = "lt", ["be-x-old"] = "be", ["cbk-zam"] = "es",
    eml = "it", ["fiu-vro"] = "et", ["map-bms"] = "jv", nah = "es", ["roa-rup"] = "ro", ["roa-tara"] = "it", sh = "hr" }

--- The code meant by a mistyped one or by the name of a language; nil if none is close.
local function closest(text, list)
    local typed = text:lower()
    local codes, names, code_of = {}, {}, {}
    for i, language in ipairs(list) do
        codes[i], names[i] = language.code, language.name:lower()
        code_of[names[i]] = language.code
        if names[i] == typed or language.own_name:lower() == typed then return language.code end
    end
    -- "eng", "en_US", "deu": what starts with a code; then names, which are long enough to compare; then codes.
    local short = typed:match "^(%a%a)[^%a]" or (#typed == 3 and typed:sub(1, 2))
    for _, code in ipairs(codes) do
        if code == short then return code end
    end
    local name = #typed > 3 and suggest.closest(typed, names)
    return name and code_of[name] or suggest.closest(typed, codes)
end

local function check(setting, text)
    local list = native.languages()
    local code = text:match "^(%l%l%l?)$" or text:match "^(%l%l%l?)[-_@]"
    for _, language in ipairs(list) do
        if language.code == code then return end
    end
    local near = closest(text, list)
    local hint = ""
    for _, language in ipairs(list) do
        if language.code == near then hint = (", did you mean %q (%s)?"):format(near, language.name) end
    end
    fault.raisef("%s: ICU does not know language %q%s expected an ISO 639 code such as en, de, fr, ja%s", setting, text,
        hint == "" and ";" or hint, setting == "language" and "; for a Wikipedia with another code, also set locale"
        or "")
end

--- The ICU locale for a corpus's sentences; a fault if ICU does not know the language.
-- @tparam string language ISO 639 code, or that of a Wikipedia
-- @tparam ?string locale ICU locale to use instead of the language's
-- @treturn string
function languages.locale(language, locale)
    if locale then
        if locale ~= "root" then check("locale", locale) end
        return locale
    end
    if LOCALES[language] then return LOCALES[language] end
    check("language", language)
    return language
end

return languages
