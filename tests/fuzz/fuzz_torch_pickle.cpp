#include "data/formats/torch_pickle.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/zip_checksums.h"

UVIC_FUZZ_TARGET(torch_pickle, ".pth") {
  using namespace uvic::formats;
  const bool is_zip = bytes.substr(0, 2) == "PK";  // else the legacy stream
  const auto file = read_pth_file(
      MappedFile::from_bytes(is_zip ? uvic::fuzz::with_zip_checksums(bytes) : bytes, "fuzz"));
  for (const auto& [name, tensor] : file.tensors) uvic::fuzz::touch(tensor);
}
