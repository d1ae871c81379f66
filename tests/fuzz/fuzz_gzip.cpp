#include <zlib.h>

#include "data/formats/gzip.h"
#include "tests/fuzz/fuzz_target.h"

// The bytes as a file; and, with the right CRC and length behind them, as the deflated data of one.
UVIC_FUZZ_TARGET(gzip) {
  using namespace uvic;
  constexpr size_t kLimit = 1 << 22;
  try {
    formats::gunzip(bytes, "fuzz", kLimit);
    return;
  } catch (const std::runtime_error&) {
  }
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return;
  std::string out(1 << 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool ends = inflate(&stream, Z_FINISH) == Z_STREAM_END;
  const auto length = static_cast<size_t>(stream.total_out);
  const auto used = static_cast<size_t>(stream.total_in);
  inflateEnd(&stream);
  if (!ends) throw std::runtime_error("no deflated data");
  std::string file("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
  file += bytes.substr(0, used);
  const auto crc = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(out.data()), static_cast<uInt>(length)));
  for (const uint32_t word : {crc, static_cast<uint32_t>(length)})
    for (int i = 0; i < 4; ++i) file += static_cast<char>(word >> (8 * i));
  if (formats::gunzip(file, "fuzz", kLimit) != out.substr(0, length))
    throw std::logic_error("other bytes than zlib's");
}
