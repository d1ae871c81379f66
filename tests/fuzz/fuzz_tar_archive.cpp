#include "data/formats/tar_archive.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(tar_archive, ".tar") {
  using namespace uvic::formats;
  const TarReader archive(MappedFile::from_bytes(bytes, "fuzz"));
  for (const auto& entry : archive.entries()) archive.bytes(entry);
}
