#include "data/formats/tar_index.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/little_endian.h"
#include "data/formats/sha256.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kIndexMagic = "uvic tar index 1";
constexpr size_t kFirstBlock = 512;
constexpr size_t kLargestIndex = size_t{1} << 34;

/// Numbers and texts in the order in which they were packed.
class IndexReader {
 public:
  explicit IndexReader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T number() {
    return load_little_endian<T>(text(sizeof(T)).data());
  }
  std::string_view text(uint64_t size) {
    if (size > bytes_.size()) throw std::runtime_error("cut off");
    const auto taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

bool is_sound(const TarEntry& entry, uint64_t archive_bytes) {
  return !entry.name.empty() && entry.name.size() <= kLongestEntryName &&
         !leaves_archive(entry.name) && entry.name.find('\0') == std::string::npos &&
         entry.offset <= archive_bytes && entry.size_bytes <= archive_bytes - entry.offset;
}

TarListing unpack(IndexReader reader, const TarIdentity& identity) {
  const auto refuse = [](bool wrong) {
    if (wrong) throw std::runtime_error("another archive");
  };
  refuse(reader.text(kIndexMagic.size()) != kIndexMagic);
  refuse(reader.number<uint64_t>() != identity.size_bytes);
  refuse(reader.number<int64_t>() != identity.modified_ns);
  refuse(reader.number<uint32_t>() != identity.first_block_crc);
  TarListing listing;
  listing.next = reader.number<uint64_t>();
  listing.complete = reader.number<uint8_t>() != 0;
  refuse(listing.next > identity.size_bytes);
  const auto count = reader.number<uint64_t>();
  constexpr size_t kLeastEntry = sizeof(uint32_t) + 2 * sizeof(uint64_t) + 1;
  refuse(count > reader.left() / kLeastEntry);
  listing.entries.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    TarEntry entry;
    entry.name = std::string(reader.text(reader.number<uint32_t>()));
    entry.offset = reader.number<uint64_t>();
    entry.size_bytes = reader.number<uint64_t>();
    entry.is_file = reader.number<uint8_t>() != 0;
    refuse(!is_sound(entry, identity.size_bytes));
    listing.entries.push_back(std::move(entry));
  }
  refuse(reader.left() != 0);
  return listing;
}

fs::path cache_folder() {
  if (const char* own = std::getenv("UVIC_CACHE")) return own;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    return fs::path(cache) / "uvic";
  if (const char* home = std::getenv("HOME"); home && *home)
    return fs::path(home) / ".cache" / "uvic";
  return {};
}

}  // namespace

TarIdentity tar_identity(const fs::path& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return {};
  TarIdentity identity;
  identity.size_bytes = static_cast<uint64_t>(status.st_size);
  identity.modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  identity.first_block_crc = crc32(read_beginning(path, kFirstBlock));
  return identity;
}

std::string pack_tar_index(const TarListing& listing, const TarIdentity& identity) {
  std::string bytes(kIndexMagic);
  append_little_endian(bytes, identity.size_bytes);
  append_little_endian(bytes, identity.modified_ns);
  append_little_endian(bytes, identity.first_block_crc);
  append_little_endian(bytes, listing.next);
  append_little_endian(bytes, static_cast<uint8_t>(listing.complete));
  append_little_endian(bytes, static_cast<uint64_t>(listing.entries.size()));
  for (const auto& entry : listing.entries) {
    append_little_endian(bytes, static_cast<uint32_t>(entry.name.size()));
    bytes += entry.name;
    append_little_endian(bytes, entry.offset);
    append_little_endian(bytes, entry.size_bytes);
    append_little_endian(bytes, static_cast<uint8_t>(entry.is_file));
  }
  append_little_endian(bytes, crc32(bytes));
  return bytes;
}

std::optional<TarListing> unpack_tar_index(std::string_view bytes, const TarIdentity& identity) {
  if (bytes.size() < sizeof(uint32_t)) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  if (crc32(content) != load_little_endian<uint32_t>(bytes.data() + content.size()))
    return std::nullopt;
  try {
    return unpack(IndexReader(content), identity);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

fs::path tar_index_path(const fs::path& archive) {
  const auto folder = cache_folder();
  if (folder.empty()) return {};
  std::error_code error;
  const auto name = fs::weakly_canonical(archive, error).string();
  Sha256 hash;
  hash.update(name.data(), name.size());
  return folder / "tar" / (hash.hex().substr(0, 32) + ".index");
}

std::optional<TarListing> read_tar_index(const fs::path& archive, const TarIdentity& identity) {
  const auto path = tar_index_path(archive);
  std::error_code error;
  if (path.empty() || !fs::is_regular_file(path, error)) return std::nullopt;
  try {
    return unpack_tar_index(read_file(path, kLargestIndex), identity);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

void keep_tar_index(const fs::path& archive,
                    const TarListing& listing,
                    const TarIdentity& identity) {
  const auto path = tar_index_path(archive);
  if (path.empty()) return;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  try {
    const auto bytes = pack_tar_index(listing, identity);
    AtomicFile file(path);
    file.write(bytes.data(), bytes.size());
    file.commit(/*sync_folder=*/false);
  } catch (const std::exception&) {  // then the next time lists it again
  }
}

}  // namespace uvic::formats
