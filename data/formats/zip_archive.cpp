#include "data/formats/zip_archive.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/little_endian.h"

namespace uvic::formats {
namespace {

constexpr uint64_t kDeflateRatio = 1032;  // a match of 258 bytes takes two bits at least
constexpr uint32_t kNone32 = 0xffffffff;  // "see the zip64 field"
constexpr uint16_t kNone16 = 0xffff;

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

/// The end-of-directory record, from its zip64 form where that stands.
struct Directory {
  uint64_t entries, size_bytes, at;
};

std::optional<Directory> find_directory(const MappedFile& file) {
  constexpr size_t kRecord = 22, kLocator = 20, kRecord64 = 56;
  if (file.size() < kRecord) return std::nullopt;
  const uint8_t* bytes = file.data();
  const size_t last = file.size() - kRecord;
  const size_t first = last > kNone16 ? last - kNone16 : 0;
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

// libzip does not tell where an entry's bytes stand. Where the directory does not read as expected
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
    if (header == kNone32) {
      // The zip64 field holds, in this order, those of size, packed size and offset that did not
      // fit.
      size_t skip = 0;
      for (const size_t field : {24, 20}) {
        if (load_little_endian<uint32_t>(next + field) == kNone32) skip += 8;
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
  if (!directory) throw file_error(name(), "not a zip archive, or truncated");
  // An entry of the directory takes 46 bytes at least; libzip allocates by the number that the file
  // tells.
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
    const bool is_stored =
        stat.comp_method == ZIP_CM_STORE && stat.encryption_method == ZIP_EM_NONE;
    entries_.push_back({entry, stat.size, stat.comp_size, stat.crc, is_stored});
    index_.emplace(entry, i);
  }
  headers_at_ = local_headers(*file_, *directory, entries_);
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

std::string ZipReader::read(size_t index, uint64_t limit_bytes) const {
  const auto& entry = entries_.at(index);
  const auto refuse = [&](const std::string& text) {
    return file_error(name(), fmt::format("{}: {}", entry.name, text));
  };
  if (entry.size_bytes > limit_bytes) {
    throw refuse(fmt::format("{} bytes, the limit is {}", entry.size_bytes, limit_bytes));
  }
  if (const auto at = stored_at(index)) {
    const std::string_view view(reinterpret_cast<const char*>(file_->data()) + *at,
                                entry.size_bytes);
    if (crc32(view) != entry.crc32) throw refuse("damaged: its CRC does not match");
    return std::string(view);
  }
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
  std::string content(entry.size_bytes, '\0');
  size_t filled = 0;
  while (filled < content.size()) {
    const auto got = zip_fread(opened.get(), content.data() + filled, content.size() - filled);
    if (got <= 0) {
      throw refuse(got < 0
                       ? fmt::format("can't unpack: {}", zip_file_strerror(opened.get()))
                       : fmt::format("damaged: ends after {} of {} bytes", filled, content.size()));
    }
    filled += static_cast<size_t>(got);
  }
  // libzip compares the CRC when it meets the end.
  char beyond;
  const auto got = zip_fread(opened.get(), &beyond, 1);
  if (got > 0) throw refuse(fmt::format("damaged: holds more than the {} bytes it tells", filled));
  if (got < 0) throw refuse(fmt::format("damaged: {}", zip_file_strerror(opened.get())));
  return content;
}

ZipWriter::ZipWriter(const std::filesystem::path& path) : file_(path) {}

void ZipWriter::put(const std::string& bytes) {
  file_.write(bytes.data(), bytes.size());
  at_ += bytes.size();
}

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

uint32_t low32(uint64_t value) { return value >= kNone32 ? kNone32 : static_cast<uint32_t>(value); }
uint16_t low16(uint64_t value) { return value >= kNone16 ? kNone16 : static_cast<uint16_t>(value); }

}  // namespace

void ZipWriter::add(const std::string& name, std::string_view content, size_t alignment) {
  if (leaves_archive(name) || name.size() > kNone16) {
    throw std::invalid_argument(fmt::format("ZipWriter: '{}' is no name for an entry", name));
  }
  const Written entry{name, content.size(), at_, crc32(content)};
  const bool is_large = content.size() >= kNone32;
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
          entry.crc32, is_large ? kNone32 : low32(content.size()), low32(content.size())) +
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
    if (entry.size_bytes >= kNone32) wide += packed(entry.size_bytes, entry.size_bytes);
    if (entry.header_at >= kNone32) wide += packed(entry.header_at);
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
  if (count >= kNone16 || size >= kNone32 || directory_at >= kNone32) {
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
