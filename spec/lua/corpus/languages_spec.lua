--- Languages: known codes pass, others are refused with a suggestion before anything is written.

local fs = require "bertlua.util.fs"
local languages = require "bertlua.corpus.languages"
local process = require "spec.support.process"

local function refusal(...)
    local good, problem = pcall(languages.locale, ...)
    assert.is_false(good)
    return tostring(problem)
end

describe("language", function()
    it("may be any in ISO 639, with a region or a variant", function()
        for _, code in ipairs { "en", "de", "la", "ceb", "zh-yue", "be-tarask", "pt_BR" } do
            assert.are.equal(code, languages.locale(code))
        end
        assert.are.equal("en@ss=standard", languages.locale("xx", "en@ss=standard"))
        assert.are.equal("root", languages.locale("xx", "root"))
    end)

    it("may be a Wikipedia's own code", function()
        assert.are.equal("en", languages.locale "simple")
        assert.are.equal("lt", languages.locale "bat-smg")
    end)

    it("is refused with a suggestion", function()
        for typed, meant in pairs { eng = '"en" (English)', english = '"en" (English)', Germn = '"de" (German)',
            Deutsch = '"de" (German)', enn = '"en" (English)', FR = '"fr" (French)' } do
            local message = refusal(typed)
            assert.is_truthy(message:find(('language: ICU does not know language "%s", did you mean %s?'):format(typed,
                meant), 1, true), message)
        end
        assert.is_truthy(refusal("en", "klingon"):find('locale: ICU does not know language "klingon"', 1, true))
        assert.is_truthy(refusal("q9"):find("expected an ISO 639 code such as en", 1, true))
    end)

    it("is checked before anything is written", function()
        local folder = process.temporary_folder()
        local output, code = process.run_bertlua(("%s --output-dir %s/out --language xq"):format(
            process.quote(process.root .. "/recipes/prepare_corpus.lua"), folder))
        assert.are.equal(1, code)
        assert.is_truthy(output:find('bertlua: language: ICU does not know language "xq"', 1, true), output)
        assert.is_false(fs.exists(folder .. "/out"))
        fs.remove(folder)
    end)
end)
