--- {{convert}}: the quantity as a reader sees it, whatever else the call says.

local corpus = require "bertlua.corpus"

-- Arguments of a call, and what stays of it.
local CASES = {
    -- The precision, wherever it stands, is not part of the quantity.
    { "1500|km|0|abbr=on", "1,500 km" },
    { "1500|km|abbr=on|0", "1,500 km" },
    { "661848|km2|-2|abbr=on", "661,848 km²" },
    { "2|to|10|in|mm|order=flip|-1|abbr=on", "2 to 10 in" },
    { "29|km|0", "29 km" },
    { "26.7|°C|1", "26.7 °C" },
    { "300|oilbbl|sigfig=1", "300 barrels" },
    -- Numbers.
    { "106,400,000|km2|sqmi", "106,400,000 km²" },
    { "640081.87|km2", "640,081.87 km²" },
    { "-27|°F", "−27 °F" },
    { "−80|°F", "−80 °F" },
    { "&minus;5|C", "−5 °C" },
    { "1/2|mi", "1/2 mi" },
    { "5+1/2|in", "5 1/2 in" },
    { "1.5e6|km", "1.5×10^6 km" },
    { "1000|MW|comma=off", "1000 MW" },
    { "1234|km|comma=5", "1234 km" },
    { "{{frac|3}}|mi", "1/3 mi" },
    { " 1500000  | oilbbl/d | m3/d", "1,500,000 barrels per day" },
    -- Ranges.
    { "10|to|30|km|mi", "10 to 30 km" },
    { "20|-|25|cm|in", "20–25 cm" },
    { "7|–|8|C-change|F-change", "7–8 °C" },
    { "60|and(-)|80|kg", "60 and 80 kg" },
    { "0.99|by|0.92|AU|Gm|lk=on|adj=on", "0.99 by 0.92 AU" },
    { "3|x|6|m", "3 by 6 m" },
    { "3|x|6|m|abbr=on", "3 m × 6 m" },
    { "100|+/-|5|m", "100 ± 5 m" },
    { "-19|to|22|C|F|sigfig=2", "−19 to 22 °C" },
    -- A quantity in two units, and a number that only looks like one.
    { "6|ft|4|in|cm|0", "6 ft 4 in" },
    { "10|lb|8|oz|kg", "10 lb 8 oz" },
    { "10|km|5|mi", "10 km" },
    -- Units in words, in number and compounds.
    { "1|acre|ha", "1 acre" },
    { "230| acre|ha", "230 acres" },
    { "40|acre|ha| adj =on", "40-acre" },
    { "60|nmi|km|adj=on", "60-nautical-mile" },
    { "1|nmi|km", "1 nautical mile" },
    { "5|nmi|km|abbr=on", "5 nmi" },
    { "3|e6carat|kg|abbr=off", "3 million carats" },
    { "22|e6acre|km2", "22 million acres" },
    { "5|e6m3|sp=us", "5 million cubic meters" },
    { "5|e6m3|abbr=on", "5×10^6 m³" },
    { "2|e12L", "2 trillion litres" },
    { "1.4|Moilbbl/d|m3/d", "1.4 million barrels per day" },
    { "50|koilbbl/d|abbr=on", "50 kbbl/d" },
    { "160|Tcuft", "160 trillion cubic feet" },
    { "11|MUSgal|Ml|lk=out|abbr=off|sp=us", "11 million US gallons" },
    { "1.2|PD/sqmi", "1.2 inhabitants per square mile" },
    { "5|PD/sqmi|abbr=on", "5/sq mi" },
    { "5|lb/acre", "5 lb/acre" },
    { "25567|ft/s|m/s", "25,567 ft/s" },
    { "37000|LT", "37,000 long tons" },
    { "5|warp", "5 warp" },
    -- What is shown.
    { "172|oilbbl|0|disp=table", "172" },
    { "840|m|ft|0|abbr=on|disp=or", "840 m" },
    { "110|°F|°C|1|abbr=on|disp=flip", "110 °F" },
    { "9|m|sortable=on", "9 m" },
}

describe("convert", function()
    local converter = corpus.wikitext()

    local function text_of(call)
        return (converter:convert("The way to the mill is " .. call .. " and no more."):match "is (.*) and no more")
    end

    it("keeps the quantity that was given", function()
        for _, case in ipairs(CASES) do
            assert.are.equal(case[2], text_of("{{convert|" .. case[1] .. "}}"), case[1])
        end
    end)

    it("is abbreviated as cvt", function()
        assert.are.equal("5 nmi", text_of "{{cvt|5|nmi}}")
        assert.are.equal("3 m × 6 m", text_of "{{Cvt|3|x|6|m}}")
        assert.are.equal("5 nautical miles", text_of "{{cvt|5|nmi|abbr=off}}")
    end)

    it("has its tables in order", function()
        for _, name in ipairs { "unit_table", "language_table", "page_kind" } do
            local previous, rows = nil, 0
            local file = assert(io.open("engine/wiki/" .. name .. ".c")):read "*a"
            local list = file:match "codes%[%] = (%b{})" or file:match "disambiguations%[%] = (%b{})"
            for code in (list and list:gmatch '"([^"]+)"' or file:gmatch '\n    {"([^"]+)"') do
                assert.is_true(previous == nil or previous < code, ("%s: %s comes before %s"):format(name,
                    tostring(previous), code))
                previous, rows = code, rows + 1
            end
            assert.is_true(rows > 40, name)
        end
    end)
end)
