#!/usr/bin/env python3
"""Writes data/mojibake_tables.cpp and data/html_entity_tables.cpp, which are tables of facts:

  scripts/make-text-tables.py FOLDER_OF_python-ftfy

Which byte of an encoding is which character and which names HTML's entities have is known to Python. Which characters occur in
UTF-8 that was read in another encoding, and of what kind they are, is taken from ftfy 6.3.1 (https://github.com/rspeer/python-ftfy).
"""
import html.entities
import re
import sys

sys.path.insert(0, sys.argv[1])
from ftfy import chardata  # noqa: E402
from ftfy.badness import MOJIBAKE_CATEGORIES  # noqa: E402

ENCODINGS = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253",
             "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]
KINDS = ["common", "c1", "bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "kaomoji", "upper_accented",
         "lower_accented", "upper_common", "lower_common", "box", "utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4",
         "utf8_continuation", "utf8_continuation_strict"]


def rows(items, width=118):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 1 > width:
            lines.append(line)
            line = "   "
        line += " " + item
    return "\n".join(lines + [line])


def literal(text):
    """As a C string literal of UTF-8 bytes; a hex escape ends where the literal is interrupted."""
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7f and chr(b) not in '"\\?' else "\\%03o" % b for b in text.encode("utf-8")) + '"'


HEAD = "// Made by scripts/make-text-tables.py; do not edit.\n// clang-format off\n"

members = {}
for bit, kind in enumerate(KINDS):
    pattern = re.compile("[" + (MOJIBAKE_CATEGORIES.get(kind) or chardata.UTF8_CLUES[kind]) + "]")
    for c in range(0x30000):
        if pattern.match(chr(c)):
            members[c] = members.get(c, 0) | 1 << bit
with open("data/mojibake_tables.cpp", "w") as out:
    out.write(HEAD + '#include "data/mojibake_tables.h"\n\nnamespace uvic::data {\n\n')
    out.write("const std::array<SingleByteEncoding, kSingleByteEncodings> single_byte_encodings = {{\n")
    for name in ENCODINGS:
        high = [ord(c) for c in bytes(range(128, 256)).decode(name)]
        sloppy = "true" if name.startswith("sloppy") else "false"
        out.write("  {\"%s\", %s, {{\n%s\n  }}},\n" % (name, sloppy, rows("0x%x," % c for c in high)))
    out.write("}};\n\nconst std::array<CharacterKinds, kKnownCharacters> character_kinds = {{\n")
    out.write(rows("{0x%x, 0x%x}," % item for item in sorted(members.items())) + "\n}};\n\n}  // namespace uvic::data\n")
print("kKnownCharacters", len(members))

entities = sorted(html.entities.html5.items(), key=lambda item: item[0].encode())
upper = sorted((name[1:], value) for name, value in chardata.HTML_ENTITIES.items() if name[1:] not in html.entities.html5)
with open("data/html_entity_tables.cpp", "w") as out:
    out.write(HEAD + '#include "data/html_entity_tables.h"\n\nnamespace uvic::data {\n\n')
    for name, items in (("html_entities", entities), ("html_entities_in_capitals", upper)):
        size = "kHtmlEntities" if name == "html_entities" else "kHtmlEntitiesInCapitals"
        out.write("const std::array<HtmlEntity, %s> %s = {{\n" % (size, name))
        out.write(rows("{\"%s\", %s}," % (key, literal(value)) for key, value in items) + "\n}};\n\n")
    out.write("}  // namespace uvic::data\n")
print("kHtmlEntities", len(entities), "kHtmlEntitiesInCapitals", len(upper))
