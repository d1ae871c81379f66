#include "data/formats/image_file.h"

#include <fmt/format.h>
#include <stb_image.h>
#include <stb_image_write.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/file_kind.h"
#include "data/formats/jpeg_check.h"
#include "data/formats/little_endian.h"
#include "data/formats/mapped_file.h"
#include "data/formats/stb_memory.h"
#include "data/formats/webp.h"

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

// The bytes that the pixels of a BMP take, from its header; stb reads zeros where they are missing.
uint64_t bmp_bytes(const uint8_t* bytes, size_t size, int width, int height) {
  if (size < 30) return UINT64_MAX;
  const auto pixels_at = load_little_endian<uint32_t>(bytes + 10);
  const bool is_core = load_little_endian<uint32_t>(bytes + 14) == 12;
  const uint64_t bits = load_little_endian<uint16_t>(bytes + (is_core ? 24 : 28));
  const uint64_t row = (static_cast<uint64_t>(width) * bits + 31) / 32 * 4;
  return pixels_at + row * static_cast<uint64_t>(height);
}

// What stb would allocate for a header alone must be in proportion to the bytes that came:
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

/// Throws unless the bytes are an image of a known kind that is whole.
void check_whole(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  const bool png = is_png(bytes, size_bytes), jpeg = is_jpeg(bytes, size_bytes);
  if (!png && !jpeg && !is_webp(bytes, size_bytes) && !is_bmp(bytes, size_bytes)) {
    const auto kind = content_text({reinterpret_cast<const char*>(bytes), size_bytes});
    throw std::runtime_error(fmt::format(
        "{}: not a PNG, JPEG, WebP or BMP image{}", name, kind.empty() ? "" : " but " + kind));
  }
  if (size_bytes > INT_MAX)
    throw std::runtime_error(
        fmt::format("{}: {} bytes, the limit is {}", name, size_bytes, INT_MAX));
  if (png && !png_is_whole(bytes, size_bytes))
    throw std::runtime_error(fmt::format("{}: the image is truncated or damaged", name));
  if (!jpeg) return;
  const auto fault = jpeg_fault(bytes, size_bytes);
  if (!fault.empty())
    throw std::runtime_error(
        fmt::format("{}: the image is truncated or damaged: it {}", name, fault));
}

/// stb_image's pixels.
std::vector<uint8_t> decode_with_stb(const uint8_t* bytes,
                                     size_t size_bytes,
                                     const std::string& name,
                                     ImageSize size) {
  const size_t pixels = static_cast<size_t>(size.width) * static_cast<size_t>(size.height);
  // 16-bit RGBA takes 8 bytes, a buffer that grows twice that; small images need their tables.
  const StbMemory memory((size_t{1} << 20) + 16 * pixels);
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(bytes, static_cast<int>(size_bytes), &width, &height, &channels, 3),
      stbi_image_free);
  if (!decoded)
    throw std::runtime_error(
        fmt::format("{}: can't decode the image: {}", name, stbi_failure_reason()));
  if (width != size.width || height != size.height)
    throw std::runtime_error(fmt::format("{}: the image is truncated or damaged", name));
  return {decoded.get(), decoded.get() + 3 * pixels};
}

}  // namespace

const std::vector<std::string>& image_endings() {
  static const std::vector<std::string> endings = {
      "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp"};
  return endings;
}

ImageSize image_size(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  ImageSize size;
  if (is_webp(bytes, size_bytes)) {
    size = webp_size(bytes, size_bytes, name);
  } else {
    const StbMemory memory(size_t{1} << 20);
    int channels = 0;
    if (!stbi_info_from_memory(bytes,
                               static_cast<int>(std::min<size_t>(size_bytes, INT_MAX)),
                               &size.width,
                               &size.height,
                               &channels))
      throw std::runtime_error(
          fmt::format("{}: can't decode the image: {}", name, stbi_failure_reason()));
    size.height = std::abs(size.height);  // a BMP from top to bottom
  }
  if (size.width < 1 || size.height < 1 || size.width > kMostSide_px ||
      size.height > kMostSide_px || int64_t{size.width} * size.height > kMostImagePixels)
    throw std::runtime_error(
        fmt::format("{}: the image is {}x{} px, the limits are {} a side and {} million in all",
                    name,
                    size.width,
                    size.height,
                    kMostSide_px,
                    kMostImagePixels / 1'000'000));
  return size;
}

Image decode_image(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  check_whole(bytes, size_bytes, name);
  const auto size = image_size(bytes, size_bytes, name);
  if (is_webp(bytes, size_bytes)) return decode_webp(bytes, size_bytes, name);
  if (!bytes_suffice(bytes, size_bytes, size.width, size.height))
    throw std::runtime_error(
        fmt::format("{}: truncated: {} bytes can't hold the {}x{} image of its header",
                    name,
                    size_bytes,
                    size.width,
                    size.height));
  return {size.width, size.height, decode_with_stb(bytes, size_bytes, name, size)};
}

Image read_image(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return decode_image(file->data(), file->size(), file->name());
}

std::vector<uint8_t> encode_png(const Image& image, const std::vector<ImageText>& texts) {
  if (image.width < 1 || image.height < 1 || image.width > kMostSide_px ||
      image.height > kMostSide_px)
    throw std::invalid_argument(fmt::format("encode_png: {}x{} px, each side may have 1 to {}",
                                            image.width,
                                            image.height,
                                            kMostSide_px));
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
  std::ptrdiff_t at = 33;  // after the signature and the header chunk
  for (const auto& text : texts) {
    const auto chunk = png_text_chunk(text);
    png.insert(png.begin() + at, chunk.begin(), chunk.end());
    at += static_cast<std::ptrdiff_t>(chunk.size());
  }
  return png;
}

void write_png(const std::filesystem::path& path,
               const Image& image,
               const std::vector<ImageText>& texts) {
  const auto png = encode_png(image, texts);
  AtomicFile file(path);
  file.write(png.data(), png.size());
  file.commit(/*sync_folder=*/false);
}

}  // namespace uvic::formats
