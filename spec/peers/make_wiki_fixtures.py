#!/usr/bin/env python3
"""Make the small MediaWiki dumps in spec/fixtures/wiki, from invented text.

dump.xml: 60 pages, some of them redirects, disambiguations, other namespaces.
dump.xml.bz2: the same as one stream of several 100 kB blocks.
bad.xml.bz2: a page whose <ns> has a mismatched closing tag.
dump-multistream.xml.bz2 and dump-multistream-index.txt.bz2: one stream for the
header, one for every 8 pages, one for the footer, as Wikimedia publishes them.
"""
import bz2
import pathlib
import random
from xml.sax.saxutils import escape

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "wiki"
WORDS = ("mill river stone wheel corn flour miller sack cart horse bridge water wind sail cap oak iron gear shaft rope "
         "bank field village church tower road winter summer storm fire grain bread oven baker market price record map "
         "stream dam pond gate wall roof floor ladder hoist bell clock house barn yard").split()

HEADER = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Millwiki</sitename>
    <namespaces>
      <namespace key="-2" case="first-letter">Media</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">Picture &amp; Sound</namespace>
      <namespace key="14" case="first-letter">Drawer</namespace>
    </namespaces>
  </siteinfo>
"""


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(6, 16))]
    return f"The {' '.join(words)}.".replace(" dam ", " [[dam|great dam]] ")


def article(rng, title):
    paragraphs = [f"'''{title}''' is a mill & a house <in> the {rng.choice(WORDS)}. "
                  + " ".join(sentence(rng) for _ in range(rng.randint(3, 8)))]
    for _ in range(rng.randint(1, 8)):
        paragraphs.append(f"== {rng.choice(WORDS).title()} ==\n"
                          + " ".join(sentence(rng) for _ in range(rng.randint(4, 14)))
                          + "<ref>Not here.</ref>")
    paragraphs.append(f"[[Picture & Sound:{title}.jpg|thumb|A picture]]\n[[Drawer:Mills]]")
    return "\n\n".join(paragraphs)


def page(number, title, text, ns=0, redirect=None, model="wikitext"):
    mark = f'    <redirect title="{escape(redirect)}" />\n' if redirect else ""
    return f"""  <page>
    <title>{escape(title)}</title>
    <ns>{ns}</ns>
    <id>{number}</id>
{mark}    <revision>
      <id>{1000 + number}</id>
      <timestamp>2020-01-01T00:00:00Z</timestamp>
      <contributor><username>Miller &quot;M&quot;</username><id>7</id></contributor>
      <comment>a &lt;page&gt; of mills</comment>
      <model>{model}</model>
      <format>text/x-wiki</format>
      <text bytes="{len(text.encode())}" xml:space="preserve">{escape(text, {'"': "&quot;"})}</text>
      <sha1>none</sha1>
    </revision>
  </page>
"""


def pages():
    rng = random.Random(20)
    made = []
    for number in range(1, 61):
        title = f"Mill {number}"
        if number % 10 == 3:
            made.append(page(number, title, f"#REDIRECT [[Mill {number + 1}]]", redirect=f"Mill {number + 1}"))
        elif number % 10 == 5:
            made.append(page(number, title, f"{title} may be one of:\n* [[Mill 1]]\n{{{{disambiguation}}}}"))
        elif number % 10 == 7:
            made.append(page(number, f"Talk:{title}", article(rng, title), ns=1))
        elif number == 28:
            made.append(page(number, title, '{"a": 1}', model="json"))
        else:
            made.append(page(number, title, article(rng, title)))
    return made


def main():
    made = pages()
    footer = "</mediawiki>\n"
    text = HEADER + "".join(made) + footer
    (FOLDER / "dump.xml").write_text(text, encoding="utf-8")
    (FOLDER / "dump.xml.bz2").write_bytes(bz2.compress(text.encode(), 1))
    bad = "<mediawiki>\n  <page>\n    <title>A</title>\n    <id>1</id>\n    <revision><id>2</id></revision>\n    <ns>0</nt>\n"
    (FOLDER / "bad.xml.bz2").write_bytes(bz2.compress((bad + "  </page>\n</mediawiki>\n").encode(), 1))
    stream, index = bz2.compress(HEADER.encode(), 1), []
    for first in range(0, len(made), 8):
        index += [f"{len(stream)}:{first + i + 1}:Mill {first + i + 1}" for i in range(len(made[first:first + 8]))]
        stream += bz2.compress("".join(made[first:first + 8]).encode(), 1)
    stream += bz2.compress(footer.encode(), 1)
    (FOLDER / "dump-multistream.xml.bz2").write_bytes(stream)
    (FOLDER / "dump-multistream-index.txt.bz2").write_bytes(bz2.compress("\n".join(index).encode() + b"\n", 1))


if __name__ == "__main__":
    main()
