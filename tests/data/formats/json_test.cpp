#include "data/formats/json.h"

#include <fmt/format.h>

#include <chrono>

#include "data/formats/atomic_file.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;

TEST_CASE("json: written text reads back", "[json]") {
  const uvic::test::Scratch scratch;
  const nlohmann::json value = {
      {"fid", 3.11}, {"labels", {1, 2, 3}}, {"name", "\xc3\xa9t\xc3\xa9"}};
  write_json(scratch / "a.json", value);
  CHECK(read_json(scratch / "a.json") == value);
  CHECK(read_file(scratch / "a.json").back() == '\n');
}

TEST_CASE("json: invalid UTF-8 is replaced in what is written", "[json]") {
  CHECK(format_json("\xff") == "\"\xef\xbf\xbd\"\n");
}

TEST_CASE("json: faults name the file, the line and the column", "[json]") {
  CHECK_THROWS_WITH(parse_json("{\"a\": 1,\n \"b\" 2}", "x.json"),
                    Contains("x.json: not valid JSON: parse error at line 2, column 6"));
  CHECK_THROWS_WITH(parse_json("", "x.json"), Contains("x.json: not valid JSON"));
  CHECK_THROWS_WITH(parse_json("{\"a\": 1, \"a\": 2}", "x.json"),
                    Contains("key \"a\" occurs twice"));
  CHECK_NOTHROW(parse_json("[{\"a\": 1}, {\"a\": {\"a\": 2}}]", "x.json"));
}

TEST_CASE("json: depth and size are bounded", "[json]") {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK_NOTHROW(parse_json(nested(64), "x.json"));
  CHECK_THROWS_WITH(parse_json(nested(65), "x.json"), Contains("deeper than 64 levels"));
  CHECK_THROWS_WITH(parse_json(nested(1000000), "x.json"), Contains("deeper than 64 levels"));
  CHECK_THROWS_WITH(parse_json("[1, 2]", "x.json", {5, 64}), Contains("6 bytes, the limit is 5"));
}

TEST_CASE("json: time and memory are proportional to the text", "[json]") {
  const auto seconds = [](const std::string& text, JsonLimits limits) {
    const auto begin = std::chrono::steady_clock::now();
    const auto value = try_parse_json(text, limits);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::string objects = "[{}", members = "{\"k\":{}";
  for (int i = 1; i < 500'000; ++i) objects += ",{}", members += fmt::format(",\"{}\":{{}}", i);
  // What walks the parent at the end of each member takes hours.
  CHECK(seconds(objects + "]", {}) < 120);
  CHECK(seconds(members + "}", {}) < 120);
  CHECK_THROWS_WITH(parse_json(objects + "]", "x.json", {size_t{1} << 28, 64, 1000}),
                    Contains("x.json: JSON of more than 1000 values"));
  CHECK_NOTHROW(parse_json("[1, [2], {\"a\": 3}]", "x.json", {100, 64, 6}));
}

TEST_CASE("json: every kind of value is built where it belongs", "[json]") {
  const auto* text = R"({"a":[1,-2,3.5,true,null,"x",[],{}],"b":{"c":{"d":[[[]]]}},"e":false})";
  CHECK(parse_json(text, "x.json") == nlohmann::json::parse(text));
  CHECK(parse_json("7", "x.json") == 7);
  CHECK_FALSE(try_parse_json("[1,"));
  CHECK(*try_parse_json("[1]") == nlohmann::json({1}));
}

TEST_CASE("json: damage never crashes", "[json]") {
  const auto read = [](const std::shared_ptr<const MappedFile>& file) {
    parse_json({reinterpret_cast<const char*>(file->data()), file->size()}, file->name());
  };
  CHECK(uvic::test::survive_damage(
            R"({"labels": [["a/b.png", 3], ["\u00e9", -1.5e3]], "ok": true})", read) == 0);
}
