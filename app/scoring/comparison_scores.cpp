#include "app/scoring/comparison_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "app/runs/latent_space.h"
#include "app/scoring/extractors.h"
#include "app/scoring/kept_result.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/sha256.h"
#include "metrics/collect.h"
#include "metrics/image_source.h"
#include "metrics/score.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr int64_t kNoiseBatch = 256;

}  // namespace

ComparisonScores::ComparisonScores(ComparisonScoring options,
                                   const RunConfig& training,
                                   fs::path folder)
    : options_(std::move(options)), training_(training), folder_(std::move(folder)) {
  training_.dataset.image_size = image_size_of(training_.encoders, training_.model.input());
  formats::make_folder(folder_);
  prepare_reference();
}

RunConfig ComparisonScores::during(RunConfig training) const {
  if (training.score_images > 0) training.score_ref = statistics_.string();
  return training;
}

json ComparisonScores::of_samples(const fs::path& samples, const fs::path& file) const {
  const json key = {{"samples", sample_identity(samples)},
                    {"reference", reference_key_},
                    {"metrics", options_.metrics}};
  return kept_or_new(file, key, check_score, [&] {
    return run_fid(fid_options(samples.string(), options_.metrics)).json;
  });
}

json ComparisonScores::of_held_out(const data::Dataset& held_out) const {
  const json key = {{"fingerprint", held_out.fingerprint()},
                    {"reference", reference_key_},
                    {"count", training_.score_count},
                    {"metrics", options_.metrics}};
  return kept_or_new(folder_ / "held_out.json", key, check_score, [&] {
    auto fid = fid_options(options_.held_out, options_.metrics);
    fid.num_images = std::min(held_out.size(), training_.score_count);
    return run_fid(fid).json;
  });
}

json ComparisonScores::of_noise() const {
  const json key = {{"reference", reference_key_}, {"count", training_.score_count}};
  return kept_or_new(folder_ / "noise.json", key, check_score, [&] {
    const auto statistics = folder_ / "noise.npz";
    make_noise_statistics(statistics);
    return run_fid(fid_options(statistics.string(), "fd")).json;
  });
}

void ComparisonScores::make_noise_statistics(const fs::path& file) const {
  const auto extractor = open_extractor({training_.score_extractor, {}, training_.inception},
                                        base::choose_device(training_.device));
  auto generator = at::detail::createCPUGenerator(/*seed=*/0);
  int64_t left = training_.score_count;
  const auto size = training_.dataset.image_size;
  const auto next = [&]() -> torch::Tensor {
    if (base::stop_requested()) throw base::StopRequested();
    const int64_t count = std::min(left, kNoiseBatch);
    left -= count;
    if (count == 0) return {};
    return torch::randint(256, {count, 3, size, size}, generator, torch::kInt64).to(torch::kUInt8);
  };
  auto statistics = metrics::collect(*extractor, next).statistics;
  const json provenance = {{"extractor", extractor->name()},
                           {"extractor_sha256", extractor->weights_sha256()},
                           {"precision", extractor->precision()},
                           {"image_size", size},
                           {"source", "independent uniform bytes, seed 0"},
                           {"count", training_.score_count}};
  statistics.provenance = provenance.dump();
  metrics::write_statistics(file, statistics);
}

FidOptions ComparisonScores::fid_options(const std::string& images,
                                         const std::string& metrics) const {
  FidOptions fid;
  fid.images = images;
  fid.ref = metrics == "fd" ? statistics_.string() : source_;
  fid.num_ref = metrics == "fd" ? 0 : options_.num_ref;
  fid.metrics = metrics;
  fid.extractor = training_.score_extractor;
  if (fid.extractor == "inception") fid.inception = training_.inception;
  fid.device = training_.device;
  fid.threads = training_.threads;
  fid.dataset = training_.dataset;
  return fid;
}

void ComparisonScores::prepare_reference() {
  source_ = training_.score_ref.empty() ? training_.data : training_.score_ref;
  statistics_ = metrics::source_kind(source_) == metrics::SourceKind::kStatistics
                    ? fs::path(source_)
                    : folder_ / "reference.npz";
  const auto extractor = open_extractor({training_.score_extractor, {}, training_.inception},
                                        base::choose_device(training_.device));
  metrics::parse_metrics(options_.metrics, *extractor);  // throws before any work
  reference_key_ = {{"source", source_},
                    {"count", options_.num_ref},
                    {"extractor", training_.score_extractor},
                    {"extractor_sha256", extractor->weights_sha256()},
                    {"image_size", training_.dataset.image_size}};
  if (statistics_ == fs::path(source_)) {
    reference_key_["sha256"] = formats::sha256_file(metrics::array_path(source_).path);
    return;
  }
  reference_key_["fingerprint"] = data::open_dataset(source_, training_.dataset)->fingerprint();
  if (has_reference()) return;
  base::say_progress("compare: features of the reference, " + source_);
  auto fid = fid_options(source_, "fd");
  fid.ref.clear();
  fid.num_ref = 0;
  fid.num_images = options_.num_ref;
  fid.save_stats = statistics_.string();
  run_fid(fid);
  formats::write_json(
      folder_ / "reference.json",
      {{"made_from", reference_key_}, {"sha256", formats::sha256_file(statistics_)}});
}

/// Two files can't be written at once: the record says which bytes it speaks of, so that a kill
/// between the two makes it one of other statistics.
bool ComparisonScores::has_reference() const {
  const auto file = folder_ / "reference.json";
  if (!fs::exists(file) || !fs::exists(statistics_)) return false;
  try {
    const auto record = formats::read_json(file);
    return record.value("made_from", json()) == reference_key_ &&
           record.value("sha256", "") == formats::sha256_file(statistics_);
  } catch (const std::exception&) {
    return false;  // damaged: made anew
  }
}

}  // namespace uvic::app
