#include "data/formats/tar_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/tar_index.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

constexpr uint64_t kRecordBlock = 512;
constexpr uint64_t kLargestRecord = uint64_t{1} << 20;  // of pax, or a long name
constexpr size_t kWorthAnIndex = 1000;                  // entries

// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, "ustar Interchange Format".
struct Field {
  size_t begin, size;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kType{156, 1}, kMagic{257, 8},
    kPrefix{345, 155};

std::string_view field(std::string_view header, Field f) { return header.substr(f.begin, f.size); }

/// Up to the first NUL.
std::string_view text(std::string_view header, Field f) {
  const auto bytes = field(header, f);
  return bytes.substr(0, std::min(bytes.find('\0'), bytes.size()));
}

/// Octal digits, blanks or NULs around them; or, as GNU has it for large ones, bit 7 and a binary
/// number.
std::optional<uint64_t> number(std::string_view header, Field f) {
  const auto bytes = field(header, f);
  uint64_t value = 0;
  if (static_cast<unsigned char>(bytes[0]) & 0x80) {
    if (static_cast<unsigned char>(bytes[0]) != 0x80) return std::nullopt;  // negative, or huge
    for (const char c : bytes.substr(1)) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  const auto begin = bytes.find_first_not_of(' ');
  if (begin == std::string_view::npos) return std::nullopt;
  auto digits = bytes.substr(begin);
  digits =
      digits.substr(0, std::min(digits.find_first_of(std::string_view(" \0", 2)), digits.size()));
  if (digits.empty()) return 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, /*base=*/8);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool is_zero(std::string_view block) {
  return block.find_first_not_of('\0') == std::string_view::npos;
}

/// The sum of the header's bytes, its own field taken as blanks; some old programs sum signed ones.
bool has_checksum(std::string_view header) {
  const auto stored = number(header, kChecksum);
  if (!stored) return false;
  uint64_t sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < kRecordBlock; ++i) {
    const bool is_own = i >= kChecksum.begin && i < kChecksum.begin + kChecksum.size;
    const char c = is_own ? ' ' : header[i];
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  return *stored == sum || static_cast<int64_t>(*stored) == signed_sum;
}

/// What pax records or GNU's long names say of the next entry.
struct Overrides {
  std::optional<std::string> name;
  std::optional<uint64_t> size;
};

class Lister {
 public:
  Lister(std::string_view bytes, const std::string& name, TarListing begun)
      : bytes_(bytes), name_(name), at_(begun.next), entries_(std::move(begun.entries)) {}

  /// `each` is called after every entry.
  template <class Each>
  TarListing run(Each&& each) {
    while (at_ < bytes_.size()) {
      if (bytes_.size() - at_ < kRecordBlock) fail("cut off inside a header");
      const auto header = bytes_.substr(at_, kRecordBlock);
      if (is_zero(header)) return finished();  // the end; what follows is padding
      if (!has_checksum(header))
        fail(entries_.empty() && at_ == 0 ? "no tar archive" : "a header has a wrong checksum");
      take(header);
      each(*this);
    }
    if (entries_.empty()) fail("no tar archive");
    return finished();  // without the end mark, as some programs leave it
  }

  uint64_t at() const { return at_; }
  size_t size() const { return entries_.size(); }
  /// Whether what comes does not depend on what was read before.
  bool is_between_entries() const {
    return !next_.name && !next_.size && !global_.name && !global_.size;
  }
  TarListing so_far() const { return {entries_, at_, false}; }

 private:
  TarListing finished() { return {std::move(entries_), at_, true}; }

  [[noreturn]] void fail(const std::string& what) const {
    throw file_error(name_, fmt::format("{} (at byte {})", what, at_));
  }

  void take(std::string_view header) {
    const char type = header[kType.begin];
    auto size = number(header, kSize);
    if (!size) fail("a header has no size");
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      const auto record = content(*size, kLargestRecord);
      if (type == 'x') read_pax(record, next_);
      if (type == 'g') read_pax(record, global_);
      if (type == 'L') next_.name = std::string(record.substr(0, record.find('\0')));
      advance(*size);
      return;
    }
    if (type == 'S') fail("a sparse file, which can't be read; pack it again without --sparse");
    if (type == 'M') fail("a volume that continues another; join the volumes");
    const bool is_file = type == '0' || type == '\0' || type == '7';
    if (next_.size) size = next_.size;
    if (!is_file) size = has_content(type) ? *size : 0;
    TarEntry entry;
    entry.name = entry_name(header, type == '5');
    entry.offset = at_ + kRecordBlock;
    entry.size_bytes = *size;
    entry.is_file = is_file && (entry.name.empty() || entry.name.back() != '/');
    content(*size, std::numeric_limits<uint64_t>::max());
    if (!entry.name.empty()) entries_.push_back(std::move(entry));
    next_ = {};
    advance(*size);
  }

  /// Links, devices and folders have none, whatever their size says.
  static bool has_content(char type) { return type < '1' || type > '6'; }

  std::string entry_name(std::string_view header, bool is_folder) const {
    std::string name;
    if (next_.name) {
      name = *next_.name;
    } else if (global_.name) {
      name = *global_.name;
    } else {
      // GNU's own format has times where ustar has the prefix.
      const bool is_ustar = field(header, kMagic).substr(0, 6) == std::string_view("ustar\0", 6);
      const auto prefix = is_ustar ? text(header, kPrefix) : std::string_view();
      name = std::string(text(header, kName));
      if (!prefix.empty()) name = std::string(prefix) + "/" + name;
    }
    while (name.rfind("./", 0) == 0) name.erase(0, 2);
    if (name == "." || name.empty()) return "";  // the folder that was packed
    if (is_folder && name.back() != '/') name += '/';
    if (name.size() > kLongestEntryName) fail("a name longer than 4095 bytes");
    if (leaves_archive(name) || name.find('\0') != std::string::npos)
      fail(fmt::format("the path {} leads out of the archive", name));
    return name;
  }

  std::string_view content(uint64_t size, uint64_t limit) const {
    if (size > limit) fail(fmt::format("a record of {} bytes", size));
    if (size > bytes_.size() - at_ - kRecordBlock)
      fail(fmt::format("an entry of {} bytes reaches beyond the end", size));
    return bytes_.substr(at_ + kRecordBlock, size);
  }

  /// "LENGTH KEY=VALUE\n", LENGTH that of the whole record.
  void read_pax(std::string_view records, Overrides& overrides) const {
    while (!records.empty()) {
      size_t length = 0;
      const auto [end, error] =
          std::from_chars(records.data(), records.data() + records.size(), length);
      const auto digits = static_cast<size_t>(end - records.data());
      if (error != std::errc() || length > records.size() || length < digits + 3 ||
          records[digits] != ' ' || records[length - 1] != '\n')
        fail("a damaged pax record");
      const auto pair = records.substr(digits + 1, length - digits - 2);
      const auto equals = pair.find('=');
      if (equals == std::string_view::npos) fail("a damaged pax record");
      const auto key = pair.substr(0, equals), value = pair.substr(equals + 1);
      if (key == "path") overrides.name = std::string(value);
      if (key == "size") overrides.size = decimal(value);
      if (key.rfind("GNU.sparse", 0) == 0)
        fail("a sparse file, which can't be read; pack it again without --sparse");
      records.remove_prefix(length);
    }
  }

  uint64_t decimal(std::string_view digits) const {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size())
      fail("a pax record with a damaged size");
    return value;
  }

  void advance(uint64_t size) {
    const uint64_t step = kRecordBlock + (size + kRecordBlock - 1) / kRecordBlock * kRecordBlock;
    at_ = step > bytes_.size() - at_ ? bytes_.size() : at_ + step;
  }

  std::string_view bytes_;
  const std::string& name_;
  uint64_t at_ = 0;
  Overrides next_, global_;
  std::vector<TarEntry> entries_;
};

std::string_view view(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

}  // namespace

bool is_tar(std::string_view bytes) {
  if (bytes.size() < kRecordBlock) return false;
  const auto header = bytes.substr(0, kRecordBlock);
  return !is_zero(header) && has_checksum(header) && number(header, kSize).has_value();
}

TarReader::TarReader(const std::filesystem::path& path, const ListingProgress& progress)
    : file_(MappedFile::open(path)) {
  using Clock = std::chrono::steady_clock;
  const auto identity = tar_identity(path);
  auto listing = read_tar_index(path, identity).value_or(TarListing());
  if (!listing.complete) {
    // An interrupted listing loses about a second, and keeping it takes a tenth of the time.
    auto kept = Clock::now(), due = kept + std::chrono::seconds(1);
    listing =
        Lister(view(*file_), file_->name(), std::move(listing)).run([&](const Lister& lister) {
          if (lister.size() % 256 != 0 || Clock::now() < due || !lister.is_between_entries())
            return;
          kept = Clock::now();
          if (lister.size() >= kWorthAnIndex) keep_tar_index(path, lister.so_far(), identity);
          due = Clock::now() +
                std::max<Clock::duration>(std::chrono::seconds(1), 10 * (Clock::now() - kept));
          if (progress) progress(lister.at());
        });
    file_->require_unchanged();
    if (listing.entries.size() >= kWorthAnIndex) keep_tar_index(path, listing, identity);
  }
  if (progress) progress(file_->size());
  entries_ = std::move(listing.entries);
}

TarReader::TarReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  entries_ = Lister(view(*file_), file_->name(), {}).run([](const Lister&) {}).entries;
  file_->require_unchanged();
}

std::string_view TarReader::bytes(const TarEntry& entry) const {
  const auto all = view(*file_);
  if (entry.offset > all.size() || entry.size_bytes > all.size() - entry.offset)
    throw std::out_of_range(fmt::format("{}: no entry at byte {}", name(), entry.offset));
  file_->require_unchanged();
  return all.substr(entry.offset, entry.size_bytes);
}

}  // namespace uvic::formats
