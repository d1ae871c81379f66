#include "app/report/report_data.h"
#include "app/sampling/sample_folder.h"
#include "app/scoring/kept_result.h"
#include "data/formats/json.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A folder of samples that is continued, or written anew: samples.json, images, a score.
UVIC_FUZZ_TARGET(samples_folder) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  fuzz::Attempts attempt;
  attempt([&] { app::sample_identity(folder.path()); });
  attempt([&] { app::sample_seeds(formats::read_json(folder.path() / "samples.json")); });
  attempt([&] {
    app::kept_or_new(folder.path() / "score.json", {{"a", 1}}, app::check_sample_score, [] {
      return nlohmann::json(2);
    });
  });
  for (const bool overwrite : {false, true})
    attempt([&] {
      app::SampleFolder samples(
          folder.path(), {{"precision", "fp32"}, {"checkpoint_sha256", "00"}}, "seeds", {});
      const auto left = samples.open(app::SeedList::parse("0-3"), overwrite);
      if (left.size() > 4) throw std::logic_error("more images to generate than asked for");
      samples.add({0});
      samples.add_time(1, 0.5);
      samples.finish({{"grid", false}});
    });
  attempt.finish();
}
