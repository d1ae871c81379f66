#include "app/sampling/sample_provenance.h"
#include "data/formats/json.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// What a PNG says of how it was made, and what `uvic sample --like` makes of it.
UVIC_FUZZ_TARGET(sample_text) {
  using namespace uvic;
  const auto sample = app::sample_text_in({{app::kSampleTextKey, bytes}});
  if (sample.is_null()) throw std::runtime_error("no text of a sample");
  diffusion::SamplerConfig sampler;
  diffusion::GuidanceConfig guidance;
  fuzz::Attempts attempt;
  attempt([&] { app::request_like(sample, "fuzz", sampler, guidance); });
  attempt([&] { app::differences_from(sample, {{"precision", "fp32"}, {"latent", nullptr}}); });
  attempt.finish();
}
