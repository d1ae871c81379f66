#include "app/watch/sample_desk.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// What a page asks of `uvic watch`, and the names by which it does.
UVIC_FUZZ_TARGET(sample_ask) {
  using namespace uvic;
  const app::SampleLimits limits;
  fuzz::Attempts attempt;
  attempt([&] {
    const auto ask = app::parse_sample_ask(bytes, limits);
    if (ask.images < 1 || ask.images > limits.images || ask.steps < 1 || ask.steps > limits.steps ||
        ask.seed < 0)
      throw std::logic_error("a request beyond its limits");
  });
  attempt.finish();
}
