#include "base/text_format.h"

#include "tests/support/catch.h"

using namespace uvic::base;

TEST_CASE("cut_to: a text keeps its length or ends in dots, and no character is cut",
          "[text_format]") {
  CHECK(cut_to("", 0) == "");
  CHECK(cut_to("abc", 3) == "abc");
  CHECK(cut_to("abcd", 3) == "abc...");
  const std::string accents = "é é";  // 2 + 1 + 2 bytes
  CHECK(cut_to(accents, 5) == accents);
  CHECK(cut_to(accents, 4) == "é ...");
  CHECK(cut_to(accents, 1) == "...");
}
