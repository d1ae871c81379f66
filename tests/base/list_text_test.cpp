#include "base/list_text.h"

#include "tests/support/catch.h"

using namespace uvic::base;
using Words = std::vector<std::string>;

TEST_CASE("list_items: what is between commas, also if it is empty", "[list_text]") {
  CHECK(list_items("").empty());
  CHECK(list_items("a") == Words{"a"});
  CHECK(list_items("a, b,c") == Words{"a", " b", "c"});
  CHECK(list_items("a,,b,") == Words{"a", "", "b", ""});
  CHECK(list_items(",") == Words{"", ""});
}

TEST_CASE("parse_ranges: ascending, each once, within the count", "[list_text]") {
  const auto parse = [](const std::string& text) {
    return parse_ranges("--blocks", text, 8, "give numbers and ranges as 0-3,7");
  };
  CHECK(parse("7,0-2,1,4-4") == std::vector<int64_t>{0, 1, 2, 4, 7});
  CHECK_THROWS_WITH(parse("0-8"), "--blocks 0-8: 8 does not exist; the last is 7");
  CHECK_THROWS_WITH(parse("3-1"), "--blocks 3-1: range 3-1 runs backwards");
  for (const auto* wrong :
       {"", ",", "1,", "x", "1-", "-1", "1--2", "0x1", " 1", "99999999999999999999"})
    CHECK_THROWS_WITH(parse(wrong),
                      std::string("--blocks ") + wrong + ": give numbers and ranges as 0-3,7");
}
