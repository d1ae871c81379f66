#include "data/formats/jpeg_check.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

// What calloc fills memory with on this thread, in place of 0, and how often it has done so.
thread_local uint8_t calloc_fill = 0;
thread_local int filled_blocks = 0;

}  // namespace

// The linker sends every call of calloc in this program here (--wrap=calloc); stb's memory is such.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" void* __real_calloc(size_t count, size_t size);
extern "C" void* __wrap_calloc(size_t count, size_t size) {
  void* memory = __real_calloc(count, size);
  if (memory && calloc_fill != 0) {
    std::memset(memory, calloc_fill, count * size);
    ++filled_blocks;
  }
  return memory;
}
// NOLINTEND(bugprone-reserved-identifier)

namespace {

std::string golden_jpeg(const std::string& name) {
  return read_file(UVIC_GOLDEN_DIR "/formats/" + name);
}

std::string fault(const std::string& bytes) {
  return jpeg_fault(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

Image decode_jpeg(const std::string& bytes) {
  return decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "a.jpg");
}

/// Where the n-th segment of that marker begins.
size_t segment(const std::string& jpeg, uint8_t marker, int n = 0) {
  size_t at = 2;
  while (at + 4 <= jpeg.size()) {
    const auto found = static_cast<uint8_t>(jpeg[at + 1]);
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(jpeg[at + 2])) << 8 |
                          static_cast<uint8_t>(jpeg[at + 3]);
    if (found == marker && n-- == 0) return at;
    at += 2 + length;
    if (found != 0xda) continue;
    while (at + 1 < jpeg.size() && (jpeg[at] != '\xff' || jpeg[at + 1] == 0 ||
                                    (static_cast<uint8_t>(jpeg[at + 1]) & 0xf8) == 0xd0))
      ++at;
  }
  FAIL("no such segment");
  return 0;
}

const std::string kEnd("\xff\xd9", 2);

/// restarts.jpg: grey noise of 64 x 64 px, 64 units in intervals of 8; see make_images.py.
std::string restarts() { return golden_jpeg("restarts.jpg"); }

/// Where the n-th restart marker is, from 0.
size_t restart(const std::string& jpeg, int n) {
  for (size_t at = segment(jpeg, 0xda); at + 1 < jpeg.size(); ++at)
    if (jpeg[at] == '\xff' && (static_cast<uint8_t>(jpeg[at + 1]) & 0xf8) == 0xd0 && n-- == 0)
      return at;
  FAIL("no such restart marker");
  return 0;
}

}  // namespace

TEST_CASE("jpeg: whole files are sound", "[jpeg]") {
  for (const char* name : {"flat.jpg", "flat_progressive.jpg", "restarts.jpg", "separate.jpg"}) {
    INFO(name);
    CHECK(fault(golden_jpeg(name)).empty());
    CHECK_NOTHROW(decode_jpeg(golden_jpeg(name)));
  }
}

TEST_CASE("jpeg: a frame without a scan is refused", "[jpeg]") {
  const auto whole = golden_jpeg("flat.jpg");
  const auto frame = segment(whole, 0xc0);
  const auto bytes = std::string("\xff\xd8", 2) + whole.substr(frame, 19) + kEnd;
  CHECK_THAT(fault(bytes), Contains("lacks a scan"));
  CHECK_THROWS_WITH(decode_jpeg(bytes), Contains("a.jpg: the image is truncated or damaged"));
  CHECK_THAT(fault(std::string("\xff\xd8", 2) + kEnd), Contains("has no frame"));
}

TEST_CASE("jpeg: sampling factors that do not divide the largest are refused", "[jpeg]") {
  auto odd = golden_jpeg("separate.jpg");
  const auto frame =
      segment(odd, 0xc0);  // marker, length, precision, sizes, count; id, factors, ...
  odd[frame + 11] = '\x31';
  odd[frame + 14] = '\x21';
  CHECK_THAT(fault(odd), Contains("sampling factors"));
  CHECK_THROWS_WITH(decode_jpeg(odd), Contains("truncated or damaged"));
}

TEST_CASE("jpeg: a component whose scan is missing is refused", "[jpeg]") {
  const auto whole = golden_jpeg("separate.jpg");  // a scan for each of three components
  const auto second = segment(whole, 0xda, 1);
  CHECK_THAT(fault(whole.substr(0, second) + kEnd), Contains("lacks a scan of one"));
  CHECK_THROWS_WITH(decode_jpeg(whole.substr(0, second) + kEnd), Contains("lacks a scan of one"));
}

TEST_CASE("jpeg: a progressive file cut after any of its scans is refused", "[jpeg]") {
  const auto whole = golden_jpeg("flat_progressive.jpg");
  int scans = 0;
  for (size_t at = 0; (at = whole.find("\xff\xda", at)) != std::string::npos; ++at) ++scans;
  REQUIRE(scans > 2);
  for (int n = 1; n < scans; ++n) {
    INFO(n);
    auto at = segment(whole, 0xda, n);
    CHECK_FALSE(fault(whole.substr(0, at) + kEnd).empty());
    CHECK_THROWS_WITH(decode_jpeg(whole.substr(0, at) + kEnd), Contains("truncated or damaged"));
  }
}

TEST_CASE("jpeg: a scan that ends before its last restart interval is refused", "[jpeg]") {
  const auto whole = restarts();
  for (int n = 0; n < 7; ++n) {
    INFO(n);
    const auto cut = whole.substr(0, restart(whole, n)) + kEnd;
    CHECK_THAT(fault(cut), Contains("restart markers"));
    CHECK_THROWS_WITH(decode_jpeg(cut), Contains("truncated or damaged"));
  }
  auto swapped = whole;
  swapped[restart(whole, 2) + 1] = '\xd5';
  CHECK_THAT(fault(swapped), Contains("restart"));
}

TEST_CASE("jpeg: a restart interval with bytes too many is refused", "[jpeg]") {
  auto longer = restarts();
  longer.insert(restart(longer, 3), std::string(64, '\x55'));
  CHECK_THROWS_WITH(decode_jpeg(longer), Contains("a.jpg: can't decode the image"));
}

TEST_CASE("jpeg: no pixel of a damaged file comes from memory that nothing was written to",
          "[jpeg]") {
  const auto decode_over = [](const std::string& bytes, uint8_t fill) -> std::vector<uint8_t> {
    std::vector<uint8_t> rgb;
    calloc_fill = fill;
    try {
      rgb = decode_jpeg(bytes).rgb;
    } catch (const std::runtime_error&) {
    }
    calloc_fill = 0;
    return rgb;
  };
  int decoded = 0;
  for (const char* name : {"flat.jpg", "flat_progressive.jpg", "restarts.jpg", "separate.jpg"}) {
    const auto whole = golden_jpeg(name);
    for (size_t at = 2; at < whole.size(); ++at)
      for (const int change : {0x01, 0x80, 0xff}) {
        auto damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ change);
        const auto image = decode_over(damaged, 0x00);
        INFO(name << " " << at << " " << change);
        REQUIRE(image == decode_over(damaged, 0xa5));
        decoded += image.empty() ? 0 : 1;
      }
  }
  CHECK(filled_blocks > 1000);
  CHECK(decoded > 1000);  // most bytes are pixels, and damage to them shows as other pixels
}
