#include "data/formats/crc32.h"
#include "data/formats/tar_index.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// The kept listing of an archive, with the right checksum behind it. What is taken lies in the
// archive, under names that stay in it.
UVIC_FUZZ_TARGET(tar_index) {
  using namespace uvic;
  const formats::TarIdentity identity{10240, 1700000000, 0x12345678};
  const auto take = [&](const std::string& index) {
    const auto listing = formats::unpack_tar_index(index, identity);
    if (!listing) return false;
    for (const auto& entry : listing->entries)
      if (entry.offset > identity.size_bytes ||
          entry.size_bytes > identity.size_bytes - entry.offset || entry.name.empty() ||
          entry.name[0] == '/')
        throw std::logic_error("an entry outside the archive");
    return true;
  };
  auto repaired = bytes.substr(0, bytes.size() < 4 ? 0 : bytes.size() - 4);
  formats::append_little_endian<uint32_t>(repaired, formats::crc32(repaired));
  if (!take(bytes) && !take(repaired)) throw std::runtime_error("no index");
}
