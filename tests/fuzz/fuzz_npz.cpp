#include "data/formats/npy.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(npz, ".npz") {
  using namespace uvic::formats;
  const NpzFile file(MappedFile::from_bytes(bytes, "fuzz"));
  for (const auto& name : file.names()) {
    file.info(name);
    uvic::fuzz::touch(file.read(name));
  }
}
