// The numbers of an attention analysis as JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/lab/ablation.h"
#include "app/lab/attention_lab.h"

namespace uvic::app {

/// One network of an analysis: a checkpoint of a run, or a file of weights.
struct LabSubject {
  std::string name;     ///< of the run, or as given
  std::string weights;  ///< path
  std::string weights_sha256;
  int64_t images_seen = 0;             ///< 0: not known
  std::vector<int64_t> blocks, heads;  ///< those that are shown
  LabResult result;
  std::vector<AblationResult> ablations;
};

/// What all subjects share.
struct LabRecord {
  std::string data, describe, fingerprint;
  uint64_t seed = 0;
  int64_t images = 0, ablation_images = 0, gradient_images = 0;
  std::string precision, device;
};

/// {"settings", "statistics": {"head", "block", "gradient", "circuit"}, "ablations", "subjects",
/// "differences"}.
///
/// A subject has "head", "block" and "gradient": for each statistic "mean" and "error" (of the mean
/// over the examples) as [place][block][head], of blocks and gradients [place][block]; "head_mean",
/// the same of the mean over the heads of an example, [place][block]; "circuit", [block][head];
/// "loss", [place]; "scores", counts [place][block][head][bin]; "ablation". Numbers that are not
/// defined are null. Places are the "timesteps" of the settings, or of sequences their "positions",
/// of which "first" and "last" belong to each.
///
/// "differences" compares each further subject with the first, where both have equally many blocks:
/// the difference of the means, its standard error, and the p of Welch's test over the examples,
/// corrected by Holm over the blocks and places of a statistic.
nlohmann::json lab_json(const LabRecord& record, const std::vector<LabSubject>& subjects);

/// A line for each network of lab_json(): what a reader looks for first.
std::string lab_summary(const nlohmann::json& numbers);

/// "images" or "sequences": what a network with these places is given.
const char* examples_word(const LabPlaces& places);

/// "uvic, 64 k images" where a run has several checkpoints; else the name.
std::string subject_title(const LabSubject& subject, const std::vector<LabSubject>& subjects);

}  // namespace uvic::app
