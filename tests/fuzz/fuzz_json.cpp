#include "data/formats/json.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(json, ".json") {
  using namespace uvic::formats;
  const auto value = parse_json(bytes, "fuzz");
  parse_json(format_json(value), "what format_json wrote");
}
