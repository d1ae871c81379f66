// Whether what is asked for now continues what a run folder holds, and what changed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "base/field.h"
#include "base/process_group.h"
#include "base/torch.h"
#include "data/dataset.h"

namespace uvic::app {

/// What one launch is asked for beyond the run's config; config.toml does not record it.
struct LaunchOptions {
  int64_t resume_from = 0;
  bool allow_other_data = false;
  base::ProcessOptions processes;
  double bucket_mib = 25;
  std::string wire_precision = "fp32";
  std::string sharded_optimizer = "auto";
  std::string collectives = "auto";
  /// notes_of_unread() of what the user gave; no option.
  std::vector<std::string> unread;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("resume_from",
          resume_from,
          Field{"Go back to the kept state of so many images; later weights move to abandoned/. 0: "
                "the latest state",
                base::from(0, base::kMostCount)});
    visit(
        "allow_other_data",
        allow_other_data,
        Field{"Continue a run on other images, or with another tokenizer, than it was trained with"}
            .advanced());
    processes.fields(visit);
    visit("bucket_mib",
          bucket_mib,
          Field{"Several processes: MiB of gradients that are sent at once while the backward pass "
                "runs on",
                base::above(0, 1e6)}
              .advanced());
    visit("wire_precision",
          wire_precision,
          Field{"Several processes: type in which gradients are sent",
                {{"fp32", "as they are"},
                 {"bf16", "half the bytes: rounded, summed in fp32, and the sum rounded"}}}
              .advanced());
    visit(
        "sharded_optimizer",
        sharded_optimizer,
        Field{"Several processes: whether each keeps only its part of the optimizer's state and of "
              "the average (ZeRO-1)",
              {{"auto", "where it saves more than a tenth of the memory"},
               {"true", "less memory, but the weights are sent too"},
               {"false", "on CPUs the steps so far are saved whichever process dies"}}}
            .advanced());
    visit("collectives",
          collectives,
          Field{"How gradients travel between processes",
                {{"auto", "by NCCL on GPUs, by Gloo on CPUs"},
                 {"nccl", "by NCCL, also in one process, which then only tries it"}}}
              .advanced());
  }
};

/// The options of a run against those that its state was trained with.
struct ResumeCheck {
  nlohmann::json changed = nlohmann::json::object();  ///< {"optimizer.lr": [before, now], ...}
  std::vector<std::string> notes;
};

/// Throws std::invalid_argument, with the cure, where the network or the meaning of its output is
/// another, where the state is one of another optimizer, where the run started from other weights,
/// and where a longer total_images alone would make a decayed learning rate jump: by more than a
/// factor of 2, or by 1 % where it falls as slowly as an inverse root.
ResumeCheck check_resume(const RunConfig& before,
                         const RunConfig& now,
                         const RunDir& run,
                         torch::Device device,
                         int64_t images_seen);

/// What a state was trained with that is not given now, where the fingerprints of the data differ:
/// "another tokenizer than TOKENIZER", "other sequences than DATA" or "other images than DATA".
std::string data_change(const std::string& trained_on,
                        const std::string& now_fingerprint,
                        const RunConfig& now);

/// Where another number of processes, or another wire, changes the sums from here on: a line each.
/// The launch before is the last of run.json.
std::vector<std::string> process_notes(const RunDir& run,
                                       int64_t processes,
                                       const LaunchOptions& now);

}  // namespace uvic::app
