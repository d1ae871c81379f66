#include "app/sampling/prompt_list.h"
#include "data/caption_list.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A list of captions or prompts: lines, a JSON list, COCO's captions.
UVIC_FUZZ_TARGET(caption_list, ".txt", ".json") {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  const auto file = folder.write("captions.txt", bytes);
  fuzz::Attempts attempt;
  attempt([&] { data::read_caption_list(file); });
  attempt([&] { app::read_prompts({}, file.string()); });
  attempt([&] {
    if (app::choose_captions(file.string(), 3, 1).size() != 3)
      throw std::logic_error("another number of captions than asked for");
  });
  attempt.finish();
}
