#include "app/report/attention_curves.h"
#include "app/report/report_data.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/network_source.h"
#include "app/runs/run_parts.h"
#include "app/runs/run_record.h"
#include "app/training/train_state.h"
#include "app/watch/run_follower.h"
#include "model/network_config.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace uvic;

// A page that follows the run.
void watch(const std::filesystem::path& path) {
  app::RunFollower follower(path, "1", "run");
  follower.poll(1 << 20, {});
  for (const auto& grid : follower.summary().value("grids", nlohmann::json::array()))
    follower.grid(grid.at(1).get<std::string>());
  for (const auto& value : {follower.curve(100, 0, 1e18), follower.curve(4, 10, 20)}) value.dump();
  for (const auto& value : {follower.scores(), follower.log_tail(), follower.config()})
    value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  follower.class_names();
}

// What continues the run does before it trains.
void resume(const app::RunDir& run) {
  auto config = app::read_run_config(run);
  config.validate();
  app::check_run(run);
  run.truncate_stats(32);
  const bool is_small = model::parameter_count(config.model) < 1e5;
  const auto states = run.states();
  if (states.empty() || !is_small) return;
  app::TrainState state(config.model, config.optimizer, 1, torch::kCPU);
  state.load(states.front().path);
}

}  // namespace

// A whole run folder: its config, record, log, weights and states, as each command reads them.
UVIC_FUZZ_TARGET(run_folder) {
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  const app::RunDir run(folder.path());
  fuzz::Attempts attempt;
  attempt([&] { watch(folder.path()); });
  attempt([&] {
    const auto data = app::report_data("fuzz", {{"a", folder.path(), "", {}}}, {});
    app::attention_plots(data.value("entries", nlohmann::json::array()));
  });
  for (const char* words : {"best", "all", "every=16", "latest"})
    attempt([&] { app::chosen_checkpoints(run, words); });
  attempt([&] { app::last_launch(run); });
  attempt([&] { app::open_sample_source(folder.path().string(), "", ""); });
  attempt([&] { app::record_images(run, 48); });
  attempt([&] { resume(run); });
  attempt.finish();
}
