#include "data/unicode_text.h"

#include "tests/support/catch.h"

using namespace uvic::data;

TEST_CASE("unicode: UTF-8 there and back, and what is none", "[data][text]") {
  const std::string text = "a\u00e9\u0905\uffff\U0010ffff" + std::string(1, '\0');
  CHECK(encode_utf8(decode_utf8(text)) == text);
  CHECK(decode_utf8(text).size() == 6);
  CHECK_FALSE(find_bad_utf8(text));
  CHECK(find_bad_utf8("ab\x80") == 2);            // a later byte first
  CHECK(find_bad_utf8("\xc1\xbf") == 0);          // overlong
  CHECK(find_bad_utf8("\xe0\x9f\xbf") == 0);      // overlong
  CHECK(find_bad_utf8("x\xed\xbf\xbf") == 1);     // a surrogate
  CHECK(find_bad_utf8("\xf4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(find_bad_utf8("\xe2\x82") == 0);          // cut short
}

TEST_CASE("unicode: lower case is Python's for texts and Rust's for characters", "[data][text]") {
  CHECK(lower_text(U"ΟΔΟΣ Σ ΑΣΑ ΑΣ. ΑΣ'Β ΣΣ") == U"οδος σ ασα ας. ασ'β σς");
  CHECK(lower_each(U"ΟΔΟΣ") == U"οδοσ");
  CHECK(lower_text(U"İΣ") == U"i\u0307ς");
  CHECK(lower_text(U"ǅ ẞ Ⅷ Ⓐ") == U"ǆ ß ⅷ ⓐ");
}

TEST_CASE("unicode: normal form C", "[data][text]") {
  CHECK(compose(U"e\u0301") == U"\u00e9");
  CHECK(compose(U"a\u0301\u0323") == U"\u1ea1\u0301");  // marks are ordered first
  CHECK(compose(U"\u1100\u1161\u11a8") == U"\uac01");
  CHECK(compose(U"\u212b\u2126") == U"\u00c5\u03a9");  // singletons
  CHECK(compose(U"\u0958") == U"\u0915\u093c");        // a composition that is excluded
  CHECK(compose_compatible(U'\uff76') == U"\u30ab");
  CHECK(compose_compatible(U'\uffe3') == U" \u0304");
}

TEST_CASE("unicode: classes of characters", "[data][text]") {
  CHECK(is_letter(U'é'));
  CHECK(is_letter(U'漢'));
  CHECK_FALSE(is_letter(U'\u0301'));
  CHECK(is_number(U'Ⅷ'));
  CHECK(is_number(U'½'));
  CHECK_FALSE(is_number(U'Ⓐ'));
  CHECK(is_space(U'\u3000'));
  CHECK(is_space(U'\u0085'));
  CHECK_FALSE(is_space(U'\u001c'));
  CHECK_FALSE(is_space(U'\u200b'));
}
