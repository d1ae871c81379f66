#include "data/formats/json_fields.h"

#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("json fields: what is there, else what is said", "[json]") {
  const json object = {{"text", "a"},
                       {"flag", true},
                       {"number", 1.5},
                       {"count", -3},
                       {"null", {}},
                       {"texts", {"x", "y"}},
                       {"counts", {1, -2}}};
  CHECK(text_field(object, "text", "b", "f") == "a");
  CHECK(flag_field(object, "flag", false, "f"));
  CHECK(number_field(object, "number", 0, "f") == 1.5);
  CHECK(number_field(object, "count", 0, "f") == -3);
  CHECK(integer_field(object, "count", 0, "f") == -3);
  CHECK(texts_field(object, "texts", "f") == std::vector<std::string>{"x", "y"});
  CHECK(integers_field(object, "counts", "f") == std::vector<int64_t>{1, -2});
  for (const char* absent : {"null", "none"}) {
    CHECK(text_field(object, absent, "b", "f") == "b");
    CHECK(flag_field(object, absent, true, "f"));
    CHECK(number_field(object, absent, 2.5, "f") == 2.5);
    CHECK(integer_field(object, absent, 7, "f") == 7);
    CHECK(texts_field(object, absent, "f").empty());
    CHECK(integers_field(object, absent, "f").empty());
  }
  CHECK(text_field(json::array(), "text", "b", "f") == "b");
}

TEST_CASE("json fields: another type is refused by file, key and both types", "[json]") {
  const json object = {
      {"text", 5}, {"flag", "true"}, {"number", "1"}, {"count", 1.5}, {"texts", {"x", 1}}};
  CHECK_THROWS_WITH(text_field(object, "text", "", "s.json"),
                    "s.json: \"text\": it is of type number, want a text");
  CHECK_THROWS_WITH(flag_field(object, "flag", true, "s.json"), Contains("want true or false"));
  CHECK_THROWS_WITH(number_field(object, "number", 0, "s.json"), Contains("want a number"));
  CHECK_THROWS_WITH(integer_field(object, "count", 0, "s.json"), Contains("want an integer"));
  CHECK_THROWS_WITH(texts_field(object, "texts", "s.json"), Contains("want a list of texts"));
  CHECK_THROWS_WITH(integers_field(object, "text", "s.json"), Contains("want a list of integers"));
  const auto most =
      json::parse(R"({"a": 9223372036854775807, "b": 9223372036854775808, "c": [1e300]})");
  CHECK(integer_field(most, "a", 0, "s.json") == INT64_MAX);
  CHECK_THROWS_WITH(integer_field(most, "b", 0, "s.json"), Contains("below 2^63"));
  CHECK_THROWS_WITH(integers_field(most, "c", "s.json"), Contains("list of integers"));
}

TEST_CASE("json fields: a list of texts from metadata", "[json]") {
  CHECK(parse_texts(R"(["cat", "dog"])", "w.safetensors", "uvic.class_names") ==
        std::vector<std::string>{"cat", "dog"});
  for (const char* other : {"{\"a\":1}", "[1]", "\"cat\"", "null"})
    CHECK_THROWS_WITH(parse_texts(other, "w.safetensors", "uvic.class_names"),
                      Contains("w.safetensors: \"uvic.class_names\"") && Contains("list of texts"));
  CHECK_THROWS_WITH(parse_texts("[", "w.safetensors", "x"), Contains("not valid JSON"));
}
