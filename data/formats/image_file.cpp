#include "data/formats/image_file.h"

#include <fmt/format.h>
#include <stb_image.h>
#include <stb_image_write.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/little_endian.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {
namespace {

bool begins_with(const uint8_t* bytes, size_t size, const char* magic, size_t length) {
  return size >= length && std::memcmp(bytes, magic, length) == 0;
}
bool is_png(const uint8_t* b, size_t n) { return begins_with(b, n, "\x89PNG\r\n\x1a\n", 8); }
bool is_jpeg(const uint8_t* b, size_t n) { return begins_with(b, n, "\xff\xd8\xff", 3); }
bool is_bmp(const uint8_t* b, size_t n) { return begins_with(b, n, "BM", 2); }

uint32_t load_big_endian(const uint8_t* bytes) {
  return __builtin_bswap32(load_little_endian<uint32_t>(bytes));
}

// Whether the chunks of a PNG run to its end and match their checksums, which stb skips.
bool png_is_whole(const uint8_t* bytes, size_t size) {
  size_t at = 8;
  while (size - at >= 12) {
    const size_t length = load_big_endian(bytes + at);
    if (length > size - at - 12) return false;
    const auto* kind = reinterpret_cast<const char*>(bytes) + at + 4;
    if (crc32({kind, 4 + length}) != load_big_endian(bytes + at + 8 + length)) return false;
    if (std::memcmp(kind, "IEND", 4) == 0) return true;
    at += 12 + length;
  }
  return false;
}

// Which Huffman tables of a JPEG have been given so far, by class (0 DC, 1 AC) and number.
struct HuffmanTables {
  bool given[2][4] = {};

  // Takes a segment of tables (class and number, 16 counts of codes by length, the codes' symbols).
  // False unless each holds 256 codes at most: stb before 2.28 writes beyond its array where there
  // are more.
  bool take(const uint8_t* tables, size_t size) {
    constexpr size_t kCountsEnd = 17;
    while (size > 0) {
      if (size < kCountsEnd || tables[0] >> 4 > 1 || (tables[0] & 15) > 3) return false;
      const size_t codes = std::accumulate(tables + 1, tables + kCountsEnd, size_t{0});
      if (codes > 256 || codes > size - kCountsEnd) return false;
      given[tables[0] >> 4][tables[0] & 15] = true;
      tables += kCountsEnd + codes;
      size -= kCountsEnd + codes;
    }
    return true;
  }

  // Whether the tables that a scan names are there: stb reads beyond its arrays where they are not.
  // The header holds the number of components, two bytes for each, and the range of coefficients.
  bool serve(const uint8_t* scan, size_t size, bool progressive) const {
    if (size < 1 || size < 4 + 2 * size_t{scan[0]}) return false;
    const uint8_t* range = scan + 1 + 2 * scan[0];
    const bool wants_dc = !progressive || (range[0] == 0 && range[2] >> 4 == 0),
               wants_ac = !progressive || range[0] != 0;
    for (size_t i = 0; i < scan[0]; ++i) {
      const uint8_t names = scan[2 + 2 * i];
      if (names >> 4 > 3 || (names & 15) > 3) return false;
      if (wants_dc && !given[0][names >> 4]) return false;
      if (wants_ac && !given[1][names & 15]) return false;
    }
    return true;
  }
};

// Whether the segments of a JPEG run to its end-of-image, as stb walks them, with sound tables for
// each scan.
// stb fills what is cut off with grey and tells nobody.
bool jpeg_is_whole(const uint8_t* bytes, size_t size) {
  HuffmanTables tables;
  bool progressive = false;
  size_t i = 2;
  while (i + 1 < size) {
    if (bytes[i] != 0xff) {
      ++i;  // entropy-coded data, where 0xff stands before 0x00 or a restart marker only
      continue;
    }
    const uint8_t marker = bytes[i + 1];
    if (marker == 0xd9) return true;
    if (marker == 0xff) {
      ++i;
    } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      i += 2;
    } else {
      if (i + 3 >= size) return false;
      const size_t length = size_t{bytes[i + 2]} << 8 | bytes[i + 3];
      if (length < 2 || length > size - i - 2) return false;
      if (marker == 0xc4 && !tables.take(bytes + i + 4, length - 2)) return false;
      if (marker == 0xc2) progressive = true;
      if (marker == 0xda && !tables.serve(bytes + i + 4, length - 2, progressive)) return false;
      i += 2 + length;
    }
  }
  return false;
}

// The bytes that the pixels of a BMP take, from its header; stb reads zeros where they are missing.
uint64_t bmp_bytes(const uint8_t* bytes, size_t size, int width, int height) {
  if (size < 30) return UINT64_MAX;
  const auto pixels_at = load_little_endian<uint32_t>(bytes + 10);
  const bool is_core = load_little_endian<uint32_t>(bytes + 14) == 12;
  const uint64_t bits = load_little_endian<uint16_t>(bytes + (is_core ? 24 : 28));
  const uint64_t row = (static_cast<uint64_t>(width) * bits + 31) / 32 * 4;
  return pixels_at + row * static_cast<uint64_t>(height);
}

// What stb would allocate for a header alone must stand in proportion to the bytes that came:
// deflate expands at most 1032-fold, and a block of 64 JPEG samples takes a bit at least.
bool bytes_suffice(const uint8_t* bytes, size_t size, int width, int height) {
  const uint64_t pixels = static_cast<uint64_t>(width) * static_cast<uint64_t>(height);
  if (is_png(bytes, size)) {
    if (size < 33) return false;  // signature and header chunk
    const uint64_t depth = bytes[24],
                   channels = (bytes[25] & 3) == 2 ? 3 : 1;  // of the header chunk
    return pixels * depth * channels / 8 <= 1032 * static_cast<uint64_t>(size);
  }
  if (is_jpeg(bytes, size)) return pixels <= 1024 * static_cast<uint64_t>(size);
  return bmp_bytes(bytes, size, width, height) <= size;
}

}  // namespace

Image decode_image(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  const bool png = is_png(bytes, size_bytes), jpeg = is_jpeg(bytes, size_bytes);
  if (!png && !jpeg && !is_bmp(bytes, size_bytes)) {
    throw std::runtime_error(fmt::format("{}: not a PNG, JPEG or BMP picture", name));
  }
  if ((png && !png_is_whole(bytes, size_bytes)) || (jpeg && !jpeg_is_whole(bytes, size_bytes))) {
    throw std::runtime_error(fmt::format("{}: the picture is truncated or damaged", name));
  }
  if (size_bytes > INT_MAX) {
    throw std::runtime_error(
        fmt::format("{}: {} bytes, the limit is {}", name, size_bytes, INT_MAX));
  }
  const int length = static_cast<int>(size_bytes);
  Image image;
  int channels = 0;
  if (!stbi_info_from_memory(bytes, length, &image.width, &image.height, &channels)) {
    throw std::runtime_error(
        fmt::format("{}: can't decode the picture: {}", name, stbi_failure_reason()));
  }
  image.height = std::abs(image.height);  // a BMP from top to bottom
  if (image.width < 1 || image.height < 1 || image.width > kMostPixels ||
      image.height > kMostPixels) {
    throw std::runtime_error(fmt::format("{}: the picture is {}x{} px, the limit is {} a side",
                                         name,
                                         image.width,
                                         image.height,
                                         kMostPixels));
  }
  if (!bytes_suffice(bytes, size_bytes, image.width, image.height)) {
    throw std::runtime_error(
        fmt::format("{}: truncated: {} bytes can't hold the {}x{} picture of its header",
                    name,
                    size_bytes,
                    image.width,
                    image.height));
  }
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, length, &image.width, &image.height, &channels, 3),
      stbi_image_free);
  if (!pixels) {
    throw std::runtime_error(
        fmt::format("{}: can't decode the picture: {}", name, stbi_failure_reason()));
  }
  image.rgb.assign(pixels.get(), pixels.get() + size_t{3} * image.width * image.height);
  return image;
}

Image read_image(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return decode_image(file->data(), file->size(), file->name());
}

std::vector<uint8_t> encode_png(const Image& image) {
  if (image.width < 1 || image.height < 1 || image.width > kMostPixels ||
      image.height > kMostPixels)
    throw std::invalid_argument(fmt::format("encode_png: {}x{} px, each side may have 1 to {}",
                                            image.width,
                                            image.height,
                                            kMostPixels));
  if (image.rgb.size() != size_t{3} * image.width * image.height) {
    throw std::invalid_argument(fmt::format("encode_png: {}x{} px with {} bytes, expected {}",
                                            image.width,
                                            image.height,
                                            image.rgb.size(),
                                            int64_t{3} * image.width * image.height));
  }
  std::vector<uint8_t> png;
  const auto append = [](void* context, void* data, int size) {
    const auto* begin = static_cast<const uint8_t*>(data);
    auto& out = *static_cast<std::vector<uint8_t>*>(context);
    out.insert(out.end(), begin, begin + size);
  };
  if (!stbi_write_png_to_func(
          append, &png, image.width, image.height, 3, image.rgb.data(), image.width * 3)) {
    throw std::runtime_error("encode_png: out of memory");
  }
  return png;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const auto png = encode_png(image);
  AtomicFile file(path);
  file.write(png.data(), png.size());
  file.commit(/*sync_folder=*/false);
}

}  // namespace uvic::formats
