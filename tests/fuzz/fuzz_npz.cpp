#include "data/formats/npy.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/zip_checksums.h"

UVIC_FUZZ_TARGET(npz, ".npz") {
  using namespace uvic;
  const formats::NpzFile file(
      formats::MappedFile::from_bytes(fuzz::with_zip_checksums(bytes), "fuzz"));
  for (const auto& name : file.names()) {
    fuzz::Attempts attempt;
    attempt([&] { file.known_info(name); });
    attempt([&] { fuzz::touch(file.read(name)); });
    attempt([&] {
      if (const auto pickled = file.read_object(name))
        for (const auto& [path, tensor] : pickled->arrays) fuzz::touch(tensor);
    });
  }
}
