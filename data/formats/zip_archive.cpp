#include "data/formats/zip_archive.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/little_endian.h"

namespace uvic::formats {

bool leaves_archive(const std::string& name) {
  if (name.empty() || name[0] == '/' || name[0] == '\\' || (name.size() > 1 && name[1] == ':')) {
    return true;
  }
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    if (name.compare(begin, end - begin, "..") == 0) return true;
    begin = end + 1;
  }
  return false;
}

namespace {

constexpr uint64_t kDeflateRatio = 1032;    // a match of 258 bytes takes two bits at least
constexpr size_t kPiece = size_t{1} << 24;  // bytes unpacked at once

/// The end-of-directory record, from its zip64 form where that stands.
struct Directory {
  uint64_t entries, size_bytes, at;
};

std::optional<Directory> find_directory(const MappedFile& file) {
  constexpr size_t kRecord = 22, kLocator = 20, kRecord64 = 56;
  if (file.size() < kRecord) return std::nullopt;
  const uint8_t* bytes = file.data();
  const size_t last = file.size() - kRecord;
  const size_t first = last > kZipNone16 ? last - kZipNone16 : 0;
  for (size_t at = last + 1; at-- > first;) {
    if (load_little_endian<uint32_t>(bytes + at) != 0x06054b50) continue;
    const uint64_t comment = load_little_endian<uint16_t>(bytes + at + 20);
    if (at + kRecord + comment > file.size()) continue;
    if (at >= kLocator && load_little_endian<uint32_t>(bytes + at - kLocator) == 0x07064b50) {
      const auto record = load_little_endian<uint64_t>(bytes + at - kLocator + 8);
      if (record > file.size() || file.size() - record < kRecord64 ||
          load_little_endian<uint32_t>(bytes + record) != 0x06064b50) {
        return std::nullopt;
      }
      return Directory{load_little_endian<uint64_t>(bytes + record + 32),
                       load_little_endian<uint64_t>(bytes + record + 40),
                       load_little_endian<uint64_t>(bytes + record + 48)};
    }
    return Directory{load_little_endian<uint16_t>(bytes + at + 10),
                     load_little_endian<uint32_t>(bytes + at + 12),
                     load_little_endian<uint32_t>(bytes + at + 16)};
  }
  return std::nullopt;
}

// libzip does not say where an entry's bytes are. Where the directory does not read as expected
// the result is empty and entries are read through libzip alone.
std::vector<uint64_t> local_headers(const MappedFile& file,
                                    const Directory& directory,
                                    const std::vector<ZipEntry>& entries) {
  constexpr size_t kFixed = 46;
  if (directory.entries != entries.size() || directory.at > file.size() ||
      directory.size_bytes > file.size() - directory.at) {
    return {};
  }
  std::vector<uint64_t> headers;
  const uint8_t* next = file.data() + directory.at;
  const uint8_t* const end = next + directory.size_bytes;
  for (const auto& entry : entries) {
    if (static_cast<size_t>(end - next) < kFixed ||
        load_little_endian<uint32_t>(next) != 0x02014b50) {
      return {};
    }
    const size_t name = load_little_endian<uint16_t>(next + 28);
    const size_t extra = load_little_endian<uint16_t>(next + 30);
    const size_t comment = load_little_endian<uint16_t>(next + 32);
    if (static_cast<size_t>(end - next) < kFixed + name + extra + comment) return {};
    if (entry.name.compare(
            0, std::string::npos, reinterpret_cast<const char*>(next) + kFixed, name) != 0) {
      return {};
    }
    uint64_t header = load_little_endian<uint32_t>(next + 42);
    if (header == kZipNone32) {
      // The zip64 field holds, in this order, those of size, packed size and offset that did not
      // fit.
      size_t skip = 0;
      for (const size_t field : {24, 20}) {
        if (load_little_endian<uint32_t>(next + field) == kZipNone32) skip += 8;
      }
      const uint8_t* block = next + kFixed + name;
      const uint8_t* const blocks_end = block + extra;
      header = UINT64_MAX;
      while (blocks_end - block >= 4) {
        const size_t length = load_little_endian<uint16_t>(block + 2);
        if (static_cast<size_t>(blocks_end - block) < 4 + length) break;
        if (load_little_endian<uint16_t>(block) == 1 && length >= skip + 8) {
          header = load_little_endian<uint64_t>(block + 4 + skip);
        }
        block += 4 + length;
      }
      if (header == UINT64_MAX) return {};
    }
    headers.push_back(header);
    next += kFixed + name + extra + comment;
  }
  return headers;
}

/// libzip ends a name at its first NUL: what programs see of such an entry differs.
void refuse_cut_names(const MappedFile& file, const Directory& directory) {
  constexpr size_t kFixed = 46;
  if (directory.at > file.size()) return;
  uint64_t at = directory.at;
  for (uint64_t i = 0; i < directory.entries && file.size() - at >= kFixed; ++i) {
    const uint8_t* bytes = file.data() + at;
    if (load_little_endian<uint32_t>(bytes) != 0x02014b50) return;
    const size_t name = load_little_endian<uint16_t>(bytes + 28);
    if (name > file.size() - at - kFixed) return;
    if (std::memchr(bytes + kFixed, 0, name))
      throw file_error(file.name(), fmt::format("refused: the path of entry {} holds a NUL", i));
    const uint64_t size = kFixed + name + load_little_endian<uint16_t>(bytes + 30) +
                          load_little_endian<uint16_t>(bytes + 32);
    if (size > file.size() - at) return;
    at += size;
  }
}

}  // namespace

struct ZipReader::Handle {
  zip_t* archive = nullptr;
  std::mutex mutex;  // libzip allows one thread at a time

  ~Handle() {
    if (archive) zip_discard(archive);
  }
};

ZipReader::ZipReader(const std::filesystem::path& path) : ZipReader(MappedFile::open(path)) {}
ZipReader::ZipReader(ZipReader&&) noexcept = default;
ZipReader::~ZipReader() = default;

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file)
    : file_(std::move(file)), handle_(std::make_unique<Handle>()) {
  const auto directory = find_directory(*file_);
  if (!directory)
    throw file_error(name(), "not a zip archive, or truncated" + foreign_text(*file_));
  // An entry of the directory takes 46 bytes at least; libzip allocates by the number that the file
  // states.
  if (directory->entries > file_->size() / 46) {
    throw file_error(
        name(),
        fmt::format(
            "damaged zip archive: {} entries in {} bytes", directory->entries, file_->size()));
  }
  zip_error_t error;
  zip_error_init(&error);
  const auto refuse = [&](const char* what) {
    const std::string text = fmt::format("{}: {}", what, zip_error_strerror(&error));
    zip_error_fini(&error);
    return file_error(name(), text);
  };
  zip_source_t* source =
      zip_source_buffer_create(file_->data(), file_->size(), /*freep=*/0, &error);
  if (!source) throw refuse("can't open the zip archive");
  handle_->archive = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!handle_->archive) {
    zip_source_free(source);
    throw refuse("damaged zip archive");
  }
  zip_error_fini(&error);

  const zip_int64_t count = zip_get_num_entries(handle_->archive, 0);
  entries_.reserve(static_cast<size_t>(count));
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    const auto index = static_cast<zip_uint64_t>(i);
    const char* entry = zip_get_name(handle_->archive, index, ZIP_FL_ENC_RAW);
    if (!entry || zip_stat_index(handle_->archive, index, 0, &stat) != 0) {
      throw file_error(
          name(),
          fmt::format("damaged zip archive: entry {}: {}", i, zip_strerror(handle_->archive)));
    }
    if (leaves_archive(entry)) {
      throw file_error(name(),
                       fmt::format("refused: the path of entry '{}' leaves the archive", entry));
    }
    if (std::strlen(entry) > kLongestEntryName)
      throw file_error(name(),
                       fmt::format("refused: the path of entry {} has more than {} bytes: {}",
                                   i,
                                   kLongestEntryName,
                                   std::string(entry, 100)));
    const bool is_stored =
        stat.comp_method == ZIP_CM_STORE && stat.encryption_method == ZIP_EM_NONE;
    entries_.push_back({entry, stat.size, stat.comp_size, stat.crc, is_stored});
    index_.emplace(entry, i);
  }
  headers_at_ = local_headers(*file_, *directory, entries_);
  refuse_cut_names(*file_, *directory);
}

std::optional<size_t> ZipReader::find(const std::string& entry) const {
  const auto found = index_.find(entry);
  return found == index_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<size_t> ZipReader::stored_at(size_t index) const {
  constexpr size_t kFixed = 30;
  const auto& entry = entries_.at(index);
  if (!entry.is_stored || entry.size_bytes != entry.packed_bytes || headers_at_.empty()) {
    return std::nullopt;
  }
  const uint64_t header = headers_at_[index];
  if (header > file_->size() || file_->size() - header < kFixed) return std::nullopt;
  const uint8_t* bytes = file_->data() + header;
  if (load_little_endian<uint32_t>(bytes) != 0x04034b50) return std::nullopt;
  const uint64_t skipped = uint64_t{kFixed} + load_little_endian<uint16_t>(bytes + 26) +
                           load_little_endian<uint16_t>(bytes + 28);
  const uint64_t available = file_->size() - header;
  if (skipped > available || entry.size_bytes > available - skipped) return std::nullopt;
  return header + skipped;
}

std::optional<size_t> ZipReader::verified_at(size_t index) const {
  const auto at = stored_at(index);
  if (!at) return at;
  const auto& entry = entries_[index];
  const std::string_view bytes(reinterpret_cast<const char*>(file_->data()) + *at,
                               entry.size_bytes);
  if (crc32(bytes) != entry.crc32) throw refusal(index, "damaged: its CRC does not match");
  return at;
}

std::runtime_error ZipReader::refusal(size_t index, const std::string& text) const {
  file_->require_unchanged();  // throws another error where that explains this one
  return file_error(name(), fmt::format("{}: {}", entries_[index].name, text));
}

std::string ZipReader::read(size_t index, uint64_t limit_bytes) const {
  const auto& entry = entries_.at(index);
  if (entry.size_bytes > limit_bytes) {
    throw refusal(index, fmt::format("{} bytes, the limit is {}", entry.size_bytes, limit_bytes));
  }
  if (const auto at = stored_at(index)) {
    // Copied, then checked: the file may change between the two.
    std::string content(reinterpret_cast<const char*>(file_->data()) + *at, entry.size_bytes);
    if (crc32(content) != entry.crc32) throw refusal(index, "damaged: its CRC does not match");
    return content;
  }
  return unpack(index, entry.size_bytes);
}

std::string ZipReader::read_beginning(size_t index, size_t count) const {
  const auto& entry = entries_.at(index);
  const auto wanted = std::min<uint64_t>(count, entry.size_bytes);
  if (const auto at = stored_at(index))
    return std::string(reinterpret_cast<const char*>(file_->data()) + *at, wanted);
  return unpack(index, wanted);
}

std::string ZipReader::unpack(size_t index, uint64_t count) const {
  const auto& entry = entries_[index];
  const auto refuse = [&](const std::string& text) { return refusal(index, text); };
  // Neither product nor sum can overflow: packed bytes are at most what the file has.
  if (entry.packed_bytes > file_->size() ||
      entry.size_bytes > entry.packed_bytes * kDeflateRatio + kDeflateRatio) {
    throw refuse(
        fmt::format("damaged: {} bytes can't unpack to {}", entry.packed_bytes, entry.size_bytes));
  }
  const std::lock_guard lock(handle_->mutex);
  zip_stat_t stat;
  if (zip_stat_index(handle_->archive, index, 0, &stat) != 0) {
    throw refuse(zip_strerror(handle_->archive));
  }
  if (stat.encryption_method != ZIP_EM_NONE)
    throw refuse("is encrypted; repack without a password");
  if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
    throw refuse(
        fmt::format("is packed by method {}; repack stored or deflated", stat.comp_method));
  }
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> opened(
      zip_fopen_index(handle_->archive, index, 0), zip_fclose);
  if (!opened) throw refuse(fmt::format("can't unpack: {}", zip_strerror(handle_->archive)));
  std::string content;
  while (content.size() < count) {
    const size_t filled = content.size();
    content.resize(filled + static_cast<size_t>(std::min<uint64_t>(kPiece, count - filled)));
    const auto got = zip_fread(opened.get(), content.data() + filled, content.size() - filled);
    if (got <= 0) {
      throw refuse(got < 0 ? fmt::format("can't unpack: {}", zip_file_strerror(opened.get()))
                           : fmt::format("damaged: ends after {} of {} bytes", filled, count));
    }
    content.resize(filled + static_cast<size_t>(got));
  }
  if (count < entry.size_bytes) return content;
  // libzip compares the CRC when it meets the end.
  char beyond;
  const auto got = zip_fread(opened.get(), &beyond, 1);
  if (got > 0) throw refuse(fmt::format("damaged: holds more than the {} bytes it states", count));
  if (got < 0) throw refuse(fmt::format("damaged: {}", zip_file_strerror(opened.get())));
  return content;
}

}  // namespace uvic::formats
