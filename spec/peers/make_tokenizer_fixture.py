"""Golden values for the tokenizer spec: spec/fixtures/text/tokenizer_cases.json.

An independent, slow implementation of BERT's tokenization with Python's own
Unicode tables, written from the description in the BERT repository's README:
clean, space out CJK, split at white space, lower-case and strip accents, split
at punctuation, longest match first. Needs only Python 3.

    python3 spec/peers/make_tokenizer_fixture.py          writes the fixture
    python3 spec/peers/make_tokenizer_fixture.py --check FILE   compares with a file in the same format
"""

import json
import sys
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VOCAB = {"uncased": "bert-base-uncased-vocab.txt", "cased": "bert-base-cased-vocab.txt"}
IDEOGRAPHS = [
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
]
MAX_CHARACTERS = 200


def clean(text):
    out = []
    for ch in text:
        if ch in "\t\n\r":
            out.append(" ")
        elif ch in "\0\ufffd" or unicodedata.category(ch) in ("Cc", "Cf"):
            continue
        elif unicodedata.category(ch) == "Zs":
            out.append(" ")
        elif any(low <= ord(ch) <= high for low, high in IDEOGRAPHS):
            out.append(f" {ch} ")
        else:
            out.append(ch)
    return "".join(out)


def is_punctuation(ch):
    if ord(ch) < 128:
        return ch.isprintable() and not ch.isalnum() and ch != " "
    return unicodedata.category(ch).startswith("P")


def basic(text, lower):
    words = []
    for part in clean(text).split():
        if lower:
            decomposed = unicodedata.normalize("NFD", part.lower())
            part = "".join(ch for ch in decomposed if unicodedata.category(ch) != "Mn")
        word = ""
        for ch in part:
            if is_punctuation(ch):
                words += [word, ch]
                word = ""
            else:
                word += ch
        words.append(word)
    return [word for word in words if word]


def pieces(word, vocab):
    if len(word) > MAX_CHARACTERS:
        return ["[UNK]"]
    found, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for stop in range(len(word), start, -1):
            if prefix + word[start:stop] in vocab:
                found.append(prefix + word[start:stop])
                start = stop
                break
        else:
            return ["[UNK]"]
    return found


def encode(text, vocab, lower):
    tokens = [piece for word in basic(text, lower) for piece in pieces(word, vocab)]
    return {"tokens": tokens, "ids": [vocab[token] for token in tokens]}


def load_vocab(name):
    lines = (ROOT / "vocab" / name).read_text(encoding="utf-8").split("\n")[:-1]
    return {token: index for index, token in enumerate(lines)}


SPACES = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())
BLOCK_SAMPLES = "".join(
    chr(c) for c in range(0xA1, 0x1F000, 97) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")
)
TEXTS = [
    "",
    " \t\r\n ",
    "The quick brown fox jumps over the lazy dog.",
    "Pre-training takes 3.5 days; fine-tuning takes 20 minutes (on 1 GPU)!",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "a!b\"c#d$e%f&g'h(i)j*k+l,m-n.o/p:q;r<s=t>u?v@w[x\\y]z^0_1`2{3|4}5~6",
    "¡Hola! ¿Qué tal? «guillemets» „low“ ‹single› — – ‐ … § ¶ † ‡ • ‰ ′ ″",
    "x" + "x".join(SPACES) + "x",
    "北京是中国的首都。東京タワー 서울특별시",
    "mix中文mix漢字mix 㐀 \U00020000\U0002b740 豈 \U0002f800",
    "Ünïcödé ÀÉÎÕÜ àéîõü ŞŢ şţ Ǟ ǟ Ḝ ḝ Ặ ặ",
    "e\u0301a\u0300\u0323o\u0308\u0304 \u0301 \u0301a q\u0307\u0323",
    "İstanbul ışık IŞIK ıIiİ DİYARBAKIR",
    "Straße STRASSE GROẞ ẞ ß",
    "ΣΊΣΥΦΟΣ ΑΣ. ΑΣ'Β Σ ΣΣ ΑΣ\u0301 Α\u200dΣ\u200dΒ ὈΔΥΣΣΕΎΣ Σ́ 中Σ ΑΣ中",
    "Привет, мир! ЁЖИК ёжик Й й",
    "العَرَبِيَّة مرحبا ١٢٣ «نص» ؟ ، لا\u200cيمكن",
    "שָׁלוֹם עִבְרִית־לְשׁוֹן",
    "हिन्दी में नमस्ते। ไทยไม่มีวรรค தமிழ்",
    "Tiếng Việt có dấu: Nguyễn Huệ, Đà Nẵng",
    "😀 👩‍👩‍👧‍👦 🇩🇪 ❤️ ☺︎ 1️⃣ 👍🏽",
    "nul\0in\x01the\x02mid\x7fdle \ufffd rep\ufffdlaced \ufefftext\u00ad \u200b\u200e\u2060",
    "private \ue000 use \U000f0000 unassigned \u0378 end",
    "line\u2028separator paragraph\u2029separator next\x85line",
    "[CLS] [MASK] [SEP] [PAD] [UNK] [unused1] ##ing # # #a ##",
    "1,234.56 €5 £6 ¥7 ₿8 100% ½ ² ③ Ⅳ ⅳ №5 °C µm Å Ω K",
    "ﬁ ﬂ ﬃ ŉ ǰ ΐ ǅ ǆ ℌ ﷺ ｆｕｌｌ ＷＩＤＴＨ ！",
    "l'été d'Artagnan can't we'll o’clock rock‘n’roll",
    "https://user:pw@example.org:8080/p/a.th?q=1&r=%20#frag C:\\dir\\file.txt",
    "word" * 50,
    "word" * 50 + "s",
    "é" * 200 + " " + "é" * 201,
    "中" * 30,
    "한" * 67 + " " + "한" * 66,
    "hyper-para-meter re-re-re- --dash-- __init__ a_b snake_case camelCase XMLHttpRequest",
    "\u1b05\u1b44\u302e \u302e\u1b44 \u1b44\u302f\u0301\u302e a\u302e\u0301\u1b44 \U0001d160 \U0001d15e\U0001d16d\U0001d165",
    "\u037e \u0387 \u1fef \u2000\u2001 \u212a \u2126 \u0344 \u0f73\u0f75",
    " ".join(BLOCK_SAMPLES[i : i + 3] for i in range(0, len(BLOCK_SAMPLES), 3)),
    BLOCK_SAMPLES.lower().upper(),
    "unaffable unwanted embeddings tokenization electroencephalographically",
]


def main():
    vocabs = {casing: load_vocab(name) for casing, name in VOCAB.items()}
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        cases = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
        wrong = [
            (case["text"], casing)
            for case in cases
            for casing in vocabs
            if encode(case["text"], vocabs[casing], casing == "uncased") != case[casing]
        ]
        print(f"{len(cases)} cases, {len(wrong)} differ")
        for text, casing in wrong:
            print(casing, ascii(text))
        sys.exit(bool(wrong))
    cases = [
        {"text": text, **{casing: encode(text, vocabs[casing], casing == "uncased") for casing in vocabs}}
        for text in TEXTS
    ]
    path = ROOT / "spec" / "fixtures" / "text" / "tokenizer_cases.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{path}: {len(cases)} texts")


if __name__ == "__main__":
    main()
