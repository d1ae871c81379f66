#include "data/formats/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(safetensors, ".safetensors") {
  using namespace uvic::formats;
  const auto file = read_safetensors(MappedFile::from_bytes(bytes, "fuzz"));
  for (const auto& [name, tensor] : file.tensors) uvic::fuzz::touch(tensor);
}
