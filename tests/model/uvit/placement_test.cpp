#include "model/uvit/placement.h"

#include "tests/model/thrown.h"
#include "tests/support/catch.h"

using uvic::model::place_attention;
using uvic::test::refusal;

TEST_CASE("placement: inner leaves softmax to the first and the last block", "[placement]") {
  CHECK(place_attention("inner", 5) == std::vector<bool>{false, true, true, true, false});
}

TEST_CASE("placement: all and none", "[placement]") {
  CHECK(place_attention("all", 3) == std::vector<bool>(3, true));
  CHECK(place_attention("none", 3) == std::vector<bool>(3, false));
}

TEST_CASE("placement: a list names blocks from 0, alone or as ranges", "[placement]") {
  CHECK(place_attention("0,2-3", 5) == std::vector<bool>{true, false, true, true, false});
  CHECK(place_attention("1-3", 5) == place_attention("inner", 5));
}

TEST_CASE("placement: what is no rule, no block or no range is refused", "[placement]") {
  for (const char* rule :
       {"outer", "", "1,", "1--3", "-1", "1-", "1 2", "1.5", "99999999999999999999"})
    CHECK(refusal([&] { place_attention(rule, 5); }) ==
          std::string("model.placement ") + rule +
              ": choose inner, all, none, or a list of blocks as 1-5,7");
  CHECK(refusal([] { place_attention("3-5", 5); }) ==
        "model.placement 3-5: 5 does not exist; the last is 4");
  CHECK(refusal([] { place_attention("3-1", 5); }) ==
        "model.placement 3-1: range 3-1 runs backwards");
}
