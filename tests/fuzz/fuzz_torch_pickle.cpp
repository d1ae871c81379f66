#include "data/formats/torch_pickle.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(torch_pickle, ".pth") {
  using namespace uvic::formats;
  const auto file = read_pth_file(MappedFile::from_bytes(bytes, "fuzz"));
  for (const auto& [name, tensor] : file.tensors) uvic::fuzz::touch(tensor);
}
