// Whether what is asked for now continues what a run folder holds, and what changed.
#pragma once

#include <torch/torch.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "base/field.h"
#include "base/process_group.h"
#include "data/dataset.h"

namespace uvic::app {

/// What one launch is asked for beyond the run's config; config.toml does not record it.
struct LaunchOptions {
  int64_t resume_from = 0;
  bool allow_other_data = false;
  base::ProcessOptions processes;
  double bucket_mib = 25;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("resume_from",
          resume_from,
          Field{"Go back to the kept state of so many images; later weights move to abandoned/. 0: "
                "the latest state",
                base::from(0, base::kMostCount)});
    visit("allow_other_data",
          allow_other_data,
          Field{"Continue a run on other images than it was trained on, from here on"}.advanced());
    processes.fields(visit);
    visit("bucket_mib",
          bucket_mib,
          Field{"Several processes: MiB of gradients that are sent at once while the backward pass "
                "runs on",
                base::above(0, 1e6)}
              .advanced());
  }
};

/// The options of a run against those that its state was trained with.
struct ResumeCheck {
  nlohmann::json changed = nlohmann::json::object();  ///< {"optimizer.lr": [before, now], ...}
  std::vector<std::string> notes;
};

/// Throws std::invalid_argument, with the cure, where the network or the meaning of its output is
/// another, where the run started from other weights, and where a longer total_images alone would
/// make a decayed learning rate jump by more than a factor of 2.
ResumeCheck check_resume(const RunConfig& before,
                         const RunConfig& now,
                         const RunDir& run,
                         torch::Device device,
                         int64_t images_seen);

}  // namespace uvic::app
