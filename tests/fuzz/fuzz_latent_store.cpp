#include <vector>

#include "data/dataset.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A folder of latents: the store of `uvic encode`, or the official code's files, one for each
// latent and caption. Whatever opens can be read whole.
UVIC_FUZZ_TARGET(latent_store) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  const auto set = data::open_dataset(folder.path().string(), {});
  const auto format = set->format();
  set->describe();
  set->fingerprint();
  fuzz::touch(set->empty_context());
  const int64_t image = format.channels * format.size * format.size,
                context = format.context_tokens * format.context_dim;
  if (image > (1 << 20) || context > (1 << 20)) return;
  std::vector<float> moments(static_cast<size_t>(image)), features(static_cast<size_t>(context));
  fuzz::Attempts attempt;
  for (int64_t i = 0; i < std::min<int64_t>(set->size(), 8); ++i)
    attempt([&] {
      const auto label = set->read_example(
          i, 1, {moments.data(), context > 0 ? features.data() : nullptr, nullptr});
      if (label < -1 || (set->class_count() > 0 && label >= set->class_count()))
        throw std::logic_error("a label outside the classes");
      set->captions(i);
    });
}
