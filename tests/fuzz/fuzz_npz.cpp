#include "data/formats/npy.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/zip_checksums.h"

UVIC_FUZZ_TARGET(npz, ".npz") {
  using namespace uvic::formats;
  const NpzFile file(MappedFile::from_bytes(uvic::fuzz::with_zip_checksums(bytes), "fuzz"));
  for (const auto& name : file.names()) {
    file.info(name);
    uvic::fuzz::touch(file.read(name));
  }
}
