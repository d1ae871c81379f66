// Whether the files that a command has left are whole.
#pragma once

#include <filesystem>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "data/formats/zip_archive.h"
#include "tests/support/catch.h"

namespace uvic::test {

/// Throws where the file is not whole.
inline void read_whole(const std::filesystem::path& file) {
  const auto kind = file.extension();
  if (kind == ".safetensors") formats::read_safetensors(file);
  if (kind == ".png") formats::read_image(file);
  if (kind == ".json") formats::read_json(file);
  if (kind == ".npz") formats::read_npz(file);
  if (kind == ".pth") formats::read_pth_file(file);
  if (kind == ".toml" && formats::read_file(file).empty()) throw std::runtime_error("empty config");
  if (kind == ".zip") {
    const formats::ZipReader zip(file);
    for (size_t i = 0; i < zip.entries().size(); ++i) zip.read(i);
  }
}

/// Every file below the folder under a final name is whole; temporary ones are left by a kill
/// alone.
inline void check_sound(const std::filesystem::path& folder, bool killed) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    CAPTURE(entry.path().string());
    if (entry.path().extension() == ".tmp")
      CHECK(killed);
    else
      CHECK_NOTHROW(read_whole(entry.path()));
  }
}

}  // namespace uvic::test
