#include "data/formats/file_kind.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(file_kind, ".pth", ".npz", ".npy", ".safetensors", ".png", ".tar", ".json") {
  using namespace uvic::formats;
  content_text(bytes);
  foreign_text(bytes);
  file_kind(MappedFile::from_bytes(bytes, "fuzz.pth"));
}
