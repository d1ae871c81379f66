#include "data/formats/zip_archive.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/little_endian.h"

namespace uvic::formats {

bool leaves_archive(std::string_view name) {
  if (name.empty() || name[0] == '/' || name[0] == '\\' || (name.size() > 1 && name[1] == ':')) {
    return true;
  }
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

namespace {

constexpr uint64_t kLargeEntry = uint64_t{1} << 28;  // bytes, of which a 200th must be packed
constexpr uint64_t kLargeRatio = 200;
constexpr uint64_t kDeflateRatio = 1032;        // a match of 258 bytes takes two bits at least
constexpr size_t kPiece = size_t{1} << 24;      // bytes unpacked at once
constexpr size_t kCentral = 46, kLocal = 30;    // bytes of the fixed part of a header
constexpr uint16_t kStored = 0, kDeflated = 8;  // methods
constexpr uint16_t kEncrypted = 1, kMasked = 1 << 13;  // flags

/// The end-of-directory record, from its zip64 form where there is one.
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

/// A header of the directory, which is wholly in the file.
struct EntryHeader {
  const uint8_t* bytes;

  template <class T>
  T number(size_t at) const {
    return load_little_endian<T>(bytes + at);
  }
  size_t name_bytes() const { return number<uint16_t>(28); }
  size_t extra_bytes() const { return number<uint16_t>(30); }
  size_t size() const { return kCentral + name_bytes() + extra_bytes() + number<uint16_t>(32); }
  std::string_view name() const {
    return {reinterpret_cast<const char*>(bytes) + kCentral, name_bytes()};
  }
};

/// Calls take(header, index) for each entry; throws what refuse(index, text) makes.
template <class Take, class Refuse>
void for_each_header(const MappedFile& file,
                     const Directory& directory,
                     const Refuse& refuse,
                     const Take& take) {
  const uint8_t* next = file.data() + directory.at;
  const uint8_t* const end = next + directory.size_bytes;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const auto left = static_cast<size_t>(end - next);
    if (left < kCentral || load_little_endian<uint32_t>(next) != 0x02014b50 ||
        EntryHeader{next}.size() > left)
      throw refuse(i, "no header in the directory, or a truncated one");
    take(EntryHeader{next}, i);
    next += EntryHeader{next}.size();
  }
}

/// Sizes and place; from the zip64 field, which holds those that do not fit, in this order.
bool read_places(const EntryHeader& header, ZipEntry& entry) {
  entry.size_bytes = header.number<uint32_t>(24);
  entry.packed_bytes = header.number<uint32_t>(20);
  entry.header_at = header.number<uint32_t>(42);
  uint64_t* const wanted[] = {&entry.size_bytes, &entry.packed_bytes, &entry.header_at};
  size_t missing = 0;
  for (const auto* value : wanted) missing += *value == kZipNone32;
  if (missing == 0) return true;
  const uint8_t* block = header.bytes + kCentral + header.name_bytes();
  const uint8_t* const end = block + header.extra_bytes();
  while (end - block >= 4) {
    const size_t length = load_little_endian<uint16_t>(block + 2);
    if (static_cast<size_t>(end - block) < 4 + length) return false;
    if (load_little_endian<uint16_t>(block) == 1) {
      if (length < 8 * missing) return false;
      const uint8_t* next = block + 4;
      for (auto* value : wanted) {
        if (*value != kZipNone32) continue;
        *value = load_little_endian<uint64_t>(next);
        next += 8;
      }
      return true;
    }
    block += 4 + length;
  }
  return true;  // a size or place of exactly 4 GiB less a byte
}

/// Zip bombs let entries share their bytes. No writer of archives does.
void refuse_overlaps(const MappedFile& file, const std::vector<ZipEntry>& entries) {
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0);
  const auto by_place = [&](uint32_t a, uint32_t b) {
    return entries[a].header_at < entries[b].header_at;
  };
  if (!std::is_sorted(order.begin(), order.end(), by_place))
    std::sort(order.begin(), order.end(), by_place);
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    const auto &entry = entries[order[i]], &next = entries[order[i + 1]];
    if (next.header_at - entry.header_at < kLocal ||
        next.header_at - entry.header_at - kLocal < entry.packed_bytes)
      throw file_error(file.name(),
                       fmt::format("refused: the entries '{}' and '{}' overlap",
                                   entry.name.substr(0, 100),
                                   next.name.substr(0, 100)));
  }
}

}  // namespace

/// The numbers of the entries, by name, and of one name by number.
struct ZipReader::ByName {
  std::once_flag once;
  std::vector<uint32_t> order;
};

ZipReader::ZipReader(const std::filesystem::path& path) : ZipReader(MappedFile::open(path)) {}

ZipReader::ZipReader(std::shared_ptr<const MappedFile> file)
    : file_(std::move(file)), by_name_(std::make_shared<ByName>()) {
  const auto directory = find_directory(*file_);
  if (!directory)
    throw file_error(name(), "not a zip archive, or truncated" + foreign_text(*file_));
  if (directory->at > file_->size() || directory->size_bytes > file_->size() - directory->at ||
      directory->entries > directory->size_bytes / kCentral ||
      directory->entries > std::numeric_limits<uint32_t>::max())
    throw file_error(name(),
                     fmt::format("damaged zip archive: a directory of {} entries in {} bytes at "
                                 "byte {} of {}",
                                 directory->entries,
                                 directory->size_bytes,
                                 directory->at,
                                 file_->size()));
  const auto refuse = [&](uint64_t index, const std::string& text) {
    return file_error(name(), fmt::format("damaged zip archive: entry {}: {}", index, text));
  };
  size_t name_bytes = 0;
  for_each_header(*file_, *directory, refuse, [&](const EntryHeader& header, uint64_t) {
    name_bytes += header.name_bytes();
  });
  names_.reserve(name_bytes);  // views of it stay valid
  entries_.reserve(directory->entries);
  for_each_header(*file_, *directory, refuse, [&](const EntryHeader& header, uint64_t index) {
    if (header.name_bytes() > names_.capacity() - names_.size())
      throw refuse(index, "changed while it was read");
    const auto begin = names_.size();
    names_.insert(names_.end(), header.name().begin(), header.name().end());
    ZipEntry entry;
    entry.name = std::string_view(names_.data() + begin, names_.size() - begin);
    if (entry.name.find('\0') != std::string_view::npos)
      throw file_error(name(), fmt::format("refused: the path of entry {} holds a NUL", index));
    if (leaves_archive(entry.name))
      throw file_error(name(),
                       fmt::format("refused: the path of entry '{}' leaves the archive",
                                   entry.name.substr(0, 300)));
    if (entry.name.size() > kLongestEntryName)
      throw file_error(name(),
                       fmt::format("refused: the path of entry {} has more than {} bytes: {}",
                                   index,
                                   kLongestEntryName,
                                   entry.name.substr(0, 100)));
    if (!read_places(header, entry)) throw refuse(index, "a damaged zip64 field");
    entry.crc32 = header.number<uint32_t>(16);
    entry.method = header.number<uint16_t>(10);
    entry.is_encrypted = header.number<uint16_t>(8) & (kEncrypted | kMasked);
    entry.is_stored = entry.method == kStored && !entry.is_encrypted;
    entries_.push_back(entry);
  });
  refuse_overlaps(*file_, entries_);
}

std::optional<size_t> ZipReader::find(std::string_view entry) const {
  std::call_once(by_name_->once, [&] {
    auto& order = by_name_->order;
    order.resize(entries_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return entries_[a].name < entries_[b].name;
    });
  });
  const auto& order = by_name_->order;
  const auto found = std::lower_bound(
      order.begin(), order.end(), entry, [&](uint32_t index, std::string_view wanted) {
        return entries_[index].name < wanted;
      });
  if (found == order.end() || entries_[*found].name != entry) return std::nullopt;
  return *found;
}

/// Where the packed bytes of an entry begin; nothing where its local header is damaged or they end
/// beyond the file.
std::optional<size_t> ZipReader::content_at(size_t index) const {
  const auto& entry = entries_.at(index);
  const uint64_t header = entry.header_at;
  if (header > file_->size() || file_->size() - header < kLocal) return std::nullopt;
  const uint8_t* bytes = file_->data() + header;
  if (load_little_endian<uint32_t>(bytes) != 0x04034b50) return std::nullopt;
  const uint64_t skipped = uint64_t{kLocal} + load_little_endian<uint16_t>(bytes + 26) +
                           load_little_endian<uint16_t>(bytes + 28);
  const uint64_t available = file_->size() - header;
  if (skipped > available || entry.packed_bytes > available - skipped) return std::nullopt;
  return header + skipped;
}

std::optional<size_t> ZipReader::stored_at(size_t index) const {
  const auto& entry = entries_.at(index);
  if (!entry.is_stored || entry.size_bytes != entry.packed_bytes) return std::nullopt;
  return content_at(index);
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
  auto content = unpack(index, entry.size_bytes);
  // Copied, then checked: the file may change between the two.
  if (crc32(content) != entry.crc32) throw refusal(index, "damaged: its CRC does not match");
  return content;
}

std::string ZipReader::read_beginning(size_t index, size_t count) const {
  return unpack(index, std::min<uint64_t>(count, entries_.at(index).size_bytes));
}

std::string ZipReader::unpack(size_t index, uint64_t count) const {
  const auto& entry = entries_[index];
  const auto refuse = [&](const std::string& text) { return refusal(index, text); };
  if (entry.is_encrypted) throw refuse("is encrypted; repack without a password");
  if (entry.method != kStored && entry.method != kDeflated)
    throw refuse(fmt::format("is packed by method {}; repack stored or deflated", entry.method));
  // Neither product nor sum can overflow: packed bytes are at most what the file has.
  if (entry.packed_bytes > file_->size() ||
      entry.size_bytes > entry.packed_bytes * kDeflateRatio + kDeflateRatio)
    throw refuse(
        fmt::format("damaged: {} bytes can't unpack to {}", entry.packed_bytes, entry.size_bytes));
  // No image, array or text of that size is as empty.
  if (count > kLargeEntry && count / kLargeRatio > entry.packed_bytes)
    throw refuse(fmt::format("a zip bomb: {} bytes packed in {}; repack it stored if it is sound",
                             entry.size_bytes,
                             entry.packed_bytes));
  const auto at = content_at(index);
  if (!at) throw refuse("damaged: it is not where the directory says, or truncated");
  if (entry.method == kStored) {
    if (entry.size_bytes != entry.packed_bytes)
      throw refuse(
          fmt::format("damaged: stored, but {} bytes in {}", entry.size_bytes, entry.packed_bytes));
    return {reinterpret_cast<const char*>(file_->data()) + *at, count};
  }

  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ends(&stream, inflateEnd);
  uint64_t packed_left = entry.packed_bytes;
  stream.next_in = file_->data() + *at;
  /// Fills `size` bytes at `out`; returns how many came before the end of the stream.
  const auto inflate_into = [&](char* out, size_t size) {
    stream.next_out = reinterpret_cast<Bytef*>(out);
    stream.avail_out = static_cast<uInt>(size);
    int result = Z_OK;
    while (stream.avail_out > 0 && result == Z_OK) {
      if (stream.avail_in == 0) {
        stream.avail_in = static_cast<uInt>(std::min<uint64_t>(packed_left, kPiece));
        packed_left -= stream.avail_in;
      }
      result = inflate(&stream, Z_NO_FLUSH);
    }
    if (result == Z_DATA_ERROR || result == Z_NEED_DICT)
      throw refuse(fmt::format("damaged: {}", stream.msg ? stream.msg : "no deflated data"));
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    return size - stream.avail_out;
  };
  std::string content;
  while (content.size() < count) {
    const size_t filled = content.size();
    content.resize(filled + static_cast<size_t>(std::min<uint64_t>(kPiece, count - filled)));
    const auto got = inflate_into(content.data() + filled, content.size() - filled);
    if (got == 0) throw refuse(fmt::format("damaged: ends after {} of {} bytes", filled, count));
    content.resize(filled + got);
  }
  char beyond;
  if (count == entry.size_bytes && inflate_into(&beyond, 1) > 0)
    throw refuse(fmt::format("damaged: holds more than the {} bytes it states", count));
  return content;
}

}  // namespace uvic::formats
