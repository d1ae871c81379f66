#include "app/commands/sample.h"
#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "model/uvit/uvit.h"
#include "tests/fuzz/fuzz_target.h"

// A config from a stranger: parsed, checked, its network's size told (as --dry_run and inspect do);
// and the record of the run that it makes must read back to the same settings.
UVIC_FUZZ_TARGET(config, ".toml") {
  using namespace uvic::app;
  RunConfig training;
  try {
    SampleOptions sampling;
    read_toml_text(bytes, "fuzz", sampling, /*keep_unknown=*/true);
    read_toml_text(bytes, "fuzz", training);
    training.validate();
    training.dataset.validate();
  } catch (const std::invalid_argument& refused) {  // a value that won't do
    throw std::runtime_error(refused.what());
  }
  uvic::model::parameter_count(training.model);
  uvic::model::forward_flops(training.model);

  const auto record = to_toml(training);
  RunConfig again;
  read_toml_text(record, "what to_toml wrote", again);
  if (to_toml(again) != record) throw std::logic_error("the record reads back to other settings");
}
