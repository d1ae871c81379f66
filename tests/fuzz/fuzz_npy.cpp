#include "data/formats/npy.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(npy, ".npy") {
  using namespace uvic::formats;
  uvic::fuzz::touch(read_npy(MappedFile::from_bytes(bytes, "fuzz")));
}
