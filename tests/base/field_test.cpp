#include "base/field.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/catch.h"

using namespace uvic::base;

TEST_CASE("field: help ends with the choices, and names no empty word", "[field]") {
  CHECK(Field("Device", {{"auto", "a GPU where there is one"}, {"cpu", ""}}).text() ==
        "Device: auto | cpu");
  CHECK(Field("Kind; empty is softmax", {{"", ""}, {"softmax", ""}, {"cog", ""}}).text() ==
        "Kind; empty is softmax: softmax | cog");
}

TEST_CASE("field: help has a narrow range, and a wide one only the error", "[field]") {
  CHECK(Field("Decay", below(0, 1)).text() == "Decay (a number in [0, 1))");
  CHECK(Field("Strength", above(0, 1)).text() == "Strength (a number in (0, 1])");
  const Field count("Images", from(1));
  CHECK(count.text() == "Images");
  CHECK_THROWS_WITH(
      count.check("count", int64_t{0}),
      Catch::Contains("count") && Catch::Contains("0") && Catch::Contains("1 or more"));
  CHECK_NOTHROW(count.check("count", int64_t{1}));
}

TEST_CASE("field: bounds are in the range or not, as they say, and NaN never is", "[field]") {
  CHECK(from(0, 1).holds(0));
  CHECK(from(0, 1).holds(1));
  CHECK_FALSE(below(0, 1).holds(1));
  CHECK_FALSE(above(0, 1).holds(0));
  CHECK(inside(0, 1).holds(0.5));
  CHECK_FALSE(inside(0, 1).holds(0));
  CHECK_FALSE(inside(0, 1).holds(1));
  CHECK_FALSE(from(0).holds(std::nan("")));
  CHECK_FALSE(from(0).holds(std::numeric_limits<double>::infinity()));
  auto unbounded = from(0);
  unbounded.infinite = true;
  CHECK(unbounded.holds(std::numeric_limits<double>::infinity()));
}

TEST_CASE("field: a word that is no choice is refused with the choices, unless others may be given",
          "[field]") {
  const Field field("Device", {{"auto", ""}, {"cpu", ""}});
  CHECK_NOTHROW(field.check("device", std::string("cpu")));
  CHECK_THROWS_AS(field.check("device", std::string("gpu")), std::invalid_argument);
  CHECK_THROWS_WITH(field.check("device", std::string("gpu")),
                    Catch::Contains("device") && Catch::Contains("gpu") &&
                        Catch::Contains("auto") && Catch::Contains("cpu"));
  const Field open("Kind", {{"", ""}, {"cog", ""}, {"softmax", ""}});
  CHECK_NOTHROW(open.check("kind", std::string()));
  CHECK_THROWS_WITH(open.check("kind", std::string("x")),
                    "kind: unknown value \"x\"; give one of cog, softmax");
  CHECK_NOTHROW(
      Field("Blocks", {{"inner", ""}}).or_else().check("placement", std::string("1-5,7")));
}
