// What ftfy 6.3.1 and Python's html.unescape give for the same texts; thousands more are behind the
// ids of bpe_tokenizer_test.cpp.
#include "data/text_repair.h"

#include "data/html_entities.h"
#include "data/mojibake.h"
#include "data/unicode_text.h"
#include "tests/support/catch.h"

using namespace uvic::data;

namespace {

std::string repaired(const std::string& text) {
  return encode_utf8(repair_text(decode_utf8(text)));
}
std::string html(const std::string& text) { return encode_utf8(unescape_html(decode_utf8(text))); }
std::string plain(const std::string& text) {
  return encode_utf8(unescape_plain_html(decode_utf8(text)));
}

}  // namespace

TEST_CASE("repair: UTF-8 that was read as something else", "[data][text]") {
  CHECK(repaired("cafÃ©") == "café");
  CHECK(repaired("itâ€™s") == "it's");
  CHECK(repaired("Ã¢â‚¬Ëœhi") == "'hi");                      // twice
  CHECK(repaired("voilÃ le travail") == "voilà le travail");  // its no-break space became a blank
  CHECK(repaired("РїСЂРёРІРµС‚") == "привет");
  CHECK(repaired("\u00c3\u0081rbol y caf\u00e9") == "Árbol y café");
  CHECK(repaired("café Ångström naïve £5 «x»") == "café Ångström naïve £5 «x»");
}

TEST_CASE("repair: characters that look like others, line ends and controls", "[data][text]") {
  CHECK(repaired("“ﬁne” ‘ŉ’ ＬＯＵＤ　ﾈｺ") == "\"fine\" ''n' LOUD ネコ");
  CHECK(repaired("a\r\nb\rc\u2028d") == "a\nb\nc\nd");
  CHECK(repaired("\x1b[31;1mred\x1b[0m\x07\ufeff") == "red");
  CHECK(repaired("e\u0301") == "é");
}

TEST_CASE("repair: references are left alone from the first line with a tag on", "[data][text]") {
  CHECK(repaired("&amp; &eacute;\n<b> &amp;\n&amp;") == "& é\n<b> &amp;\n&amp;");
}

TEST_CASE("html: references as Python reads them", "[data][text]") {
  CHECK(html("&amp;amp; &eacute &notit; &copy2 &#233; &#xE9 &#128; &#0; &#xD800; &#1114112;") ==
        "&amp; é ¬it; ©2 é é € \ufffd \ufffd \ufffd");
  CHECK(html("&; &# &#x; &unknown; &#1; &fjlig;") == "&; &# &#x; &unknown;  fj");
  CHECK(html("&#99999999999999999999;") == "\ufffd");
}

TEST_CASE("html: careful with text that may be none", "[data][text]") {
  CHECK(plain("this&not that &not; P&EACUTE;REZ &SZLIG; &nTILDE;") ==
        "this&not that ¬ PÉREZ SS &nTILDE;");
  CHECK(plain("&#233; &#59; &#12ab; &semi;") == "é &#59; &#12ab; ;");
}
