#include "base/base64.h"

#include "tests/support/catch.h"

// The vectors of RFC 4648, section 10, and a byte of each kind.
TEST_CASE("base64 is that of RFC 4648", "[base64]") {
  const auto of = [](const std::string& text) {
    return uvic::base::base64(std::vector<uint8_t>(text.begin(), text.end()));
  };
  CHECK(of("").empty());
  CHECK(of("f") == "Zg==");
  CHECK(of("fo") == "Zm8=");
  CHECK(of("foo") == "Zm9v");
  CHECK(of("foobar") == "Zm9vYmFy");
  CHECK(uvic::base::base64({0xfb, 0xff, 0xbf}) == "+/+/");
}
