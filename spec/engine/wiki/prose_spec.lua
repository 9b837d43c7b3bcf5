--- Which paragraphs of wikitext are kept, in all scripts, and what removed markup leaves behind.

local corpus = require "bertlua.corpus"

describe("paragraphs of wikitext", function()
    local converter = corpus.wikitext()

    local function kept(text) return converter:convert(text) == text .. "\n" end

    it("are kept in scripts without spaces between words", function()
        for _, text in ipairs {
            "กังหันน้ำเป็นเครื่องจักรที่ใช้พลังงานน้ำในการโม่แป้งและสูบน้ำมาตั้งแต่สมัยโบราณจนถึงปัจจุบัน",
            "กังหันน้ำเป็นเครื่องจักร ที่ใช้พลังงานน้ำในการโม่แป้ง และสูบน้ำมาตั้งแต่สมัยโบราณ",
            "ກັງຫັນນ້ຳເປັນເຄື່ອງຈັກທີ່ໃຊ້ພະລັງງານນ້ຳ ໃນການໂມ່ແປ້ງ",
            "ម៉ាស៊ីនកិនទឹកជាម៉ាស៊ីនដែលប្រើថាមពលទឹក។",
            "ရေစက်သည် ရေစွမ်းအင်ကို အသုံးပြုသော စက်ဖြစ်သည်။",
            "水車は水の力で回る。", "水车利用水力转动。", "물레방아는 물의 힘으로 돈다.",
        } do
            assert.is_true(kept(text), text)
        end
    end)

    it("are measured in characters, whatever their bytes", function()
        -- Without a full stop at the end, 60 characters are too few.
        for _, words in ipairs { "word ", "слов ", "λόγο ", "كلمة " } do
            assert.is_false(kept((words:rep(11):gsub(" $", ""))), words)
            assert.is_true(kept((words:rep(12) .. words:gsub(" $", ""))), words)
        end
        assert.is_false(kept "Он ушёл туда.")
        assert.is_true(kept "Он ушёл туда и не вернулся.")
    end)

    it("end like sentences in all scripts", function()
        for _, ending in ipairs { "!", "?\"", "…", "…”", ".“", ".«", "’)", "。", "！", "？」", "。』", "。）", "॥", "۔", "؟",
            "։", "።", "།" } do
            assert.is_true(kept("The old mill was grey" .. ending), ending)
        end
        assert.is_false(kept "The old mill was grey)")
        assert.is_false(kept "The old mill was grey】")
    end)

    it("keep no empty parentheses, also full-width ones", function()
        assert.are.equal("東京は日本の首都である。\n", converter:convert "東京（{{lang|x}}、）は日本の首都である。")
        assert.are.equal("東京（とうきょう）は日本の首都である。\n",
            converter:convert "東京（、とうきょう、{{ruby}}）は日本の首都である。")
    end)
end)
