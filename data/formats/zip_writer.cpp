#include "data/formats/zip_writer.h"

#include <fmt/format.h>

#include <stdexcept>

#include "data/formats/crc32.h"
#include "data/formats/little_endian.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

constexpr uint16_t kVersion = 45;          // zip64
constexpr uint16_t kUtf8 = 1 << 11;        // names are UTF-8
constexpr uint16_t kTime = 0, kDate = 33;  // 1980-01-01: equal content gives equal archives

template <class... T>
std::string packed(T... values) {
  std::string out;
  (append_little_endian(out, values), ...);
  return out;
}

uint32_t low32(uint64_t value) {
  return value >= kZipNone32 ? kZipNone32 : static_cast<uint32_t>(value);
}
uint16_t low16(uint64_t value) {
  return value >= kZipNone16 ? kZipNone16 : static_cast<uint16_t>(value);
}

}  // namespace

ZipWriter::ZipWriter(const std::filesystem::path& path) : file_(path) {}

void ZipWriter::put(const std::string& bytes) {
  file_.write(bytes.data(), bytes.size());
  at_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::string_view content, size_t alignment) {
  if (leaves_archive(name) || name.size() > kLongestEntryName) {
    throw std::invalid_argument(fmt::format("ZipWriter: '{}' is no name for an entry", name));
  }
  const Written entry{name, content.size(), at_, crc32(content)};
  const bool is_large = content.size() >= kZipNone32;
  std::string extra;
  if (is_large) {
    extra = packed<uint16_t, uint16_t, uint64_t, uint64_t>(1, 16, content.size(), content.size());
  }
  const size_t content_at = at_ + 30 + name.size() + extra.size();
  if (content_at % alignment != 0) {
    // A field of its own, as PyTorch writes; it takes four bytes before its first.
    const size_t padding = alignment - (content_at + 4) % alignment;
    const size_t length = padding % alignment;
    extra += packed<uint16_t, uint16_t>(0x4246, static_cast<uint16_t>(length)) +
             std::string(length, 'Z');
  }
  put(packed<uint32_t, uint16_t, uint16_t, uint16_t, uint16_t, uint16_t>(
          0x04034b50, kVersion, kUtf8, /*stored*/ 0, kTime, kDate) +
      packed<uint32_t, uint32_t, uint32_t>(
          entry.crc32, is_large ? kZipNone32 : low32(content.size()), low32(content.size())) +
      packed<uint16_t, uint16_t>(static_cast<uint16_t>(name.size()),
                                 static_cast<uint16_t>(extra.size())) +
      name + extra);
  file_.write(content.data(), content.size());
  at_ += content.size();
  written_.push_back(entry);
}

void ZipWriter::commit() {
  const uint64_t directory_at = at_;
  for (const auto& entry : written_) {
    std::string wide;
    if (entry.size_bytes >= kZipNone32) wide += packed(entry.size_bytes, entry.size_bytes);
    if (entry.header_at >= kZipNone32) wide += packed(entry.header_at);
    const std::string extra =
        wide.empty() ? ""
                     : packed<uint16_t, uint16_t>(1, static_cast<uint16_t>(wide.size())) + wide;
    put(packed<uint32_t, uint16_t, uint16_t, uint16_t, uint16_t, uint16_t, uint16_t>(
            0x02014b50, kVersion, kVersion, kUtf8, /*stored*/ 0, kTime, kDate) +
        packed<uint32_t, uint32_t, uint32_t>(
            entry.crc32, low32(entry.size_bytes), low32(entry.size_bytes)) +
        packed<uint16_t, uint16_t>(static_cast<uint16_t>(entry.name.size()),
                                   static_cast<uint16_t>(extra.size())) +
        packed<uint16_t, uint16_t, uint16_t, uint32_t>(/*comment*/ 0, /*disk*/ 0, 0, 0) +
        packed(low32(entry.header_at)) + entry.name + extra);
  }
  const uint64_t size = at_ - directory_at, count = written_.size();
  if (count >= kZipNone16 || size >= kZipNone32 || directory_at >= kZipNone32) {
    const uint64_t record_at = at_;
    put(packed<uint32_t, uint64_t, uint16_t, uint16_t>(0x06064b50, 44, kVersion, kVersion) +
        packed<uint32_t, uint32_t>(0, 0) + packed(count, count, size, directory_at));
    put(packed<uint32_t, uint32_t, uint64_t, uint32_t>(0x07064b50, 0, record_at, 1));
  }
  put(packed<uint32_t, uint16_t, uint16_t>(0x06054b50, 0, 0) + packed(low16(count), low16(count)) +
      packed(low32(size), low32(directory_at)) + packed<uint16_t>(0));
  file_.commit();
}

}  // namespace uvic::formats
