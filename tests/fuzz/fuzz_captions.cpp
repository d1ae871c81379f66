#include <unordered_map>

#include "data/caption_sources.h"
#include "data/captions.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A folder with images that have captions: metadata.jsonl, metadata.csv, KEY.txt, KEY.json, COCO's
// captions_*.json. Images are empty files but where the input names others.
UVIC_FUZZ_TARGET(captions) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  for (const char* image : {"a.jpg", "b.c.png"})
    if (!std::filesystem::exists(folder.path() / image)) folder.write(image, "");
  const auto read = [](const std::string& source, const std::string& images) {
    const auto set = data::open_captioned_images(source, images);
    for (int64_t i = 0; i < set->size(); ++i) {
      if (set->captions(i).empty()) throw std::logic_error("an image without captions");
      set->read(i);
    }
    set->describe();
    set->fingerprint();
  };
  fuzz::Attempts attempt;
  attempt([&] { read(folder.path().string(), ""); });
  const auto coco = folder.path() / "captions_val.json";
  if (std::filesystem::exists(coco)) attempt([&] { read(coco.string(), folder.path().string()); });
  attempt.finish();
}
