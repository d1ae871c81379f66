#include "app/runs/weights_file.h"

#include "app/runs/network_source.h"
#include "app/runs/public_metadata.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// Weights of any origin, a folder or a file, and the config that they are said to have.
UVIC_FUZZ_TARGET(weights_file, ".pth") {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  std::filesystem::path source = folder.path();
  if (folder.fill(bytes) == 0) source = folder.write("a.pth", fuzz::repaired("a.pth", bytes));
  fuzz::Attempts attempt;
  attempt([&] {
    const auto file = app::open_weights(source);
    for (const auto& [name, tensor] : file.tensors) fuzz::touch(tensor);
    app::public_metadata(file.metadata);
    app::network_config(file, {});
  });
  attempt([&] { app::open_sample_source("", source.string(), ""); });
  attempt.finish();
}
