#include "data/formats/zip_archive.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(zip_archive, ".zip", ".npz", ".pth") {
  using namespace uvic::formats;
  const ZipReader archive(MappedFile::from_bytes(bytes, "fuzz"));
  for (size_t i = 0; i < archive.entries().size(); ++i) {
    archive.stored_at(i);
    try {
      archive.read(i, /*limit_bytes=*/1 << 24);
    } catch (const std::runtime_error&) {  // the next entry may still be whole
    }
  }
}
