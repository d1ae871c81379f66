#include <vector>

#include "data/dataset.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

void read_set(const std::string& source) {
  uvic::data::DatasetOptions options;
  options.image_size = 8;
  options.exif = "apply";
  const auto set = uvic::data::open_dataset(source, options);
  std::vector<uint8_t> planes(3 * 8 * 8);
  set->describe();
  set->fingerprint();
  for (int64_t i = 0; i < std::min<int64_t>(set->size(), 8); ++i) {
    const auto label = set->read(i, planes.data());
    if (label < -1 || (set->class_count() > 0 && label >= set->class_count()))
      throw std::logic_error("a label outside the classes");
  }
}

}  // namespace

// A set of images: an archive as it is, or a folder of files with its labels.
UVIC_FUZZ_TARGET(image_set, ".zip", ".tar") {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) > 0) {
    fuzz::Attempts attempt;
    attempt([&] { read_set(folder.path().string()); });
    if (std::filesystem::exists(folder.path() / "val"))  // ImageNet's parts
      attempt([&] { read_set(folder.path().string() + ":val"); });
    return attempt.finish();
  }
  const bool is_zip = bytes.substr(0, 2) == "PK";
  read_set(folder.write(is_zip ? "a.zip" : "a.tar", fuzz::repaired("", bytes)).string());
}
