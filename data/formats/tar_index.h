// What was listed of a tar archive, kept for the next time: the headers of a large one are as many
// places of the disk as it has files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/tar_archive.h"

namespace uvic::formats {

/// The entries of an archive, from its beginning on.
struct TarListing {
  std::vector<TarEntry> entries;
  uint64_t next = 0;      ///< where the next header is
  bool complete = false;  ///< there is none
};

/// By what an archive is known again: an index of another is not used.
struct TarIdentity {
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  uint32_t first_block_crc = 0;
};
TarIdentity tar_identity(const std::filesystem::path& path);

/// An index as bytes, ending in their CRC-32, and back. Nothing where the bytes are of another
/// archive, of another version, damaged, or say what no listing says: an entry beyond the end, a
/// name that leaves the archive.
std::string pack_tar_index(const TarListing& listing, const TarIdentity& identity);
std::optional<TarListing> unpack_tar_index(std::string_view bytes, const TarIdentity& identity);

/// Where the index of an archive is kept: in $UVIC_CACHE, else $XDG_CACHE_HOME/uvic, else
/// ~/.cache/uvic. Empty where there is no such place, or UVIC_CACHE is empty.
std::filesystem::path tar_index_path(const std::filesystem::path& archive);

/// The index that is kept, or nothing.
std::optional<TarListing> read_tar_index(const std::filesystem::path& archive,
                                         const TarIdentity& identity);
/// Keeps it, whole or not at all. A place that can't be written is passed over: an index saves
/// time, nothing else.
void keep_tar_index(const std::filesystem::path& archive,
                    const TarListing& listing,
                    const TarIdentity& identity);

}  // namespace uvic::formats
