#include "data/formats/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "data/formats/file_error.h"

namespace uvic::formats {
namespace {

constexpr size_t kUnpackedBlock = size_t{1} << 18;  // bytes that are unpacked at once
constexpr int kGzipOnly = 15 + 16;                  // the largest window, and a gzip header

/// zlib's state, freed with the object.
struct Inflate {
  explicit Inflate(const std::string& name) {
    if (inflateInit2(&stream, kGzipOnly) != Z_OK)
      throw file_error(name, "zlib has no memory to unpack it");
  }
  ~Inflate() { inflateEnd(&stream); }
  Inflate(const Inflate&) = delete;
  Inflate& operator=(const Inflate&) = delete;

  z_stream stream = {};
};

}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.substr(0, 3) == "\x1f\x8b\x08"; }

std::string gunzip(std::string_view bytes, const std::string& name, size_t limit_bytes) {
  if (!is_gzip(bytes)) throw file_error(name, "no gzip file");
  Inflate inflate(name);
  auto& stream = inflate.stream;
  std::string unpacked;
  size_t given = 0;
  while (true) {
    if (stream.avail_in == 0) {
      const auto more =
          std::min<size_t>(bytes.size() - given, std::numeric_limits<unsigned>::max());
      // zlib's interface of C: it does not write to its input.
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + given));
      stream.avail_in = static_cast<unsigned>(more);
      given += more;
    }
    const size_t before = unpacked.size();
    if (before > limit_bytes)
      throw file_error(name, fmt::format("more than {} bytes unpacked", limit_bytes));
    unpacked.resize(before + kUnpackedBlock);
    stream.next_out = reinterpret_cast<Bytef*>(unpacked.data() + before);
    stream.avail_out = kUnpackedBlock;
    const int result = ::inflate(&stream, Z_NO_FLUSH);
    unpacked.resize(before + kUnpackedBlock - stream.avail_out);
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0 && given == bytes.size()) break;
      if (inflateReset(&stream) != Z_OK) throw file_error(name, "damaged gzip file");
      continue;  // the next member
    }
    if (result == Z_OK) continue;
    const bool is_cut = result == Z_BUF_ERROR && stream.avail_in == 0 && given == bytes.size();
    throw file_error(name, is_cut ? "gzip file cut short" : "damaged gzip file");
  }
  if (unpacked.size() > limit_bytes)
    throw file_error(name, fmt::format("more than {} bytes unpacked", limit_bytes));
  return unpacked;
}

}  // namespace uvic::formats
