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

ZipWriter::ZipWriter(const std::filesystem::path& path)
    : file_(std::make_shared<AtomicSink>(path)) {}

ZipWriter::ZipWriter(std::shared_ptr<PartFile> part) : file_(part) { take_up(*part); }

void ZipWriter::take_up(const PartFile& part) {
  constexpr size_t kHeader = 30;
  const auto refuse = [](bool wrong) {
    if (wrong) throw std::runtime_error("the part of a zip archive is not what was written");
  };
  while (at_ < part.size_bytes()) {
    refuse(part.size_bytes() - at_ < kHeader);
    const auto header = part.read(at_, kHeader);
    const auto* bytes = header.data();
    const auto size = load_little_endian<uint32_t>(bytes + 22);
    const auto name_size = load_little_endian<uint16_t>(bytes + 26);
    const auto extra_size = load_little_endian<uint16_t>(bytes + 28);
    // An entry of 4 GiB or more has its size in a field of its own, and is none of a data set.
    refuse(load_little_endian<uint32_t>(bytes) != 0x04034b50 || size == kZipNone32);
    const uint64_t whole = kHeader + uint64_t{name_size} + extra_size + size;
    refuse(whole > part.size_bytes() - at_);
    written_.push_back(
        {part.read(at_ + kHeader, name_size), size, at_, load_little_endian<uint32_t>(bytes + 14)});
    at_ += whole;
  }
}

void ZipWriter::put(const std::string& bytes) {
  file_->write(bytes.data(), bytes.size());
  at_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::string_view content, size_t alignment) {
  if (leaves_archive(name) || name.size() > kLongestEntryName) {
    throw std::invalid_argument(fmt::format("ZipWriter: '{}' is not a name for an entry", name));
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
  file_->write(content.data(), content.size());
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
  file_->commit();
}

}  // namespace uvic::formats
