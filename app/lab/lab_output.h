// The numbers of an attention analysis as JSON and tables.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/lab/ablation.h"
#include "app/lab/attention_lab.h"
#include "app/report/number_table.h"

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

/// {"settings", "statistics": {"head", "block", "gradient", "circuit"}, "ablations", "subjects", "differences"}.
///
/// A subject has "head", "block" and "gradient": for each statistic "mean" and "error" (of the mean
/// over the examples) as [time][block][head], of blocks and gradients [time][block]; "head_mean", the same of the mean over the
/// heads of an example, [time][block]; "circuit", [block][head]; "loss", [time]; "scores", counts
/// [time][block][head][bin]; "ablation". Numbers that are not defined are null.
///
/// "differences" compares each further subject with the first, where both have equally many blocks:
/// the difference of the means, its standard error, and the p of Welch's test over the examples,
/// corrected by Holm over the blocks and times of a statistic.
nlohmann::json lab_json(const LabRecord& record, const std::vector<LabSubject>& subjects);

/// A row for each subject, time, block and head, and for the mean over heads; a column with its
/// error for each statistic of heads.
NumberTable head_table(const std::vector<LabSubject>& subjects);
/// A row for each subject, time and block; columns of gradients where they were measured.
NumberTable block_table(const std::vector<LabSubject>& subjects);
/// A row for each ablation, place and time.
NumberTable ablation_table(const std::vector<LabSubject>& subjects);

/// "uvic, 64 k images" where a run has several checkpoints; else the name.
std::string subject_title(const LabSubject& subject, const std::vector<LabSubject>& subjects);

}  // namespace uvic::app
