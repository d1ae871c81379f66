#include "app/scoring/fid_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "app/options/options.h"
#include "app/runs/latent_space.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "base/check.h"
#include "data/formats/output_file.h"
#include "metrics/score.h"

namespace uvic::app {
namespace {

/// The first option not at its default that only the sampling from --run reads, or "".
std::string option_of_run(FidOptions options) {
  const auto is_of_run = [](const std::string& name) {
    for (const auto* prefix : {"sample",
                               "guidance",
                               "seeds",
                               "labels",
                               "run_weights",
                               "caption",
                               "autoencoder",
                               "latent",
                               "tile",
                               "text_encoder",
                               "tokenizer",
                               "checkpoints"})
      if (name.rfind(prefix, 0) == 0) return true;
    return false;
  };
  FidOptions plain;
  std::vector<std::string> defaults;
  visit_leaves(plain, [&](const std::string&, auto& field, const base::Field&) {
    defaults.push_back(detail::toml_value(field));
  });
  std::string changed;
  size_t at = 0;
  visit_leaves(options, [&](const std::string& name, auto& field, const base::Field&) {
    if (detail::toml_value(field) != defaults[at++] && is_of_run(name) && changed.empty())
      changed = name;
  });
  return changed;
}

bool is_run_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return !path.empty() && std::filesystem::is_regular_file(path / "config.toml", ignored) &&
         std::filesystem::is_directory(path / "weights", ignored);
}

}  // namespace

std::string metric_names() {
  return fmt::format("{}", fmt::join(metrics::metric_kinds().names(), ", "));
}

void FidOptions::validate() const {
  base::check_fields(*this);
  base::require(
      !images.empty() || !run.empty(),
      "fid: --images is missing; give the images to score, or a --run to generate them from");
  base::require(images.empty() || run.empty(),
                "fid: --images and --run both name what to score; give one of them");
  if (run.empty()) {
    const auto needless = option_of_run(*this);
    base::require(needless.empty(), fmt::format("--{} needs --run", needless));
  }
  base::require(run.empty() || num_images == 0,
                "--num_images: not with --run; --seeds says how many images it generates");
  base::require(!ref.empty() || !save_stats.empty() || !save_features.empty(),
                "fid: --ref is missing; give a reference, or --save_stats to make one");
  base::require(
      metrics::is_extractor_name(extractor),
      fmt::format("--extractor {}: give one of {}, a TorchScript file (.pt), or a network of "
                  "uvic train-features (.safetensors)",
                  extractor,
                  fmt::join(metrics::extractor_kinds().names(), ", ")));
  base::require(precision == "fp32" || (precision == "bf16" && extractor == "inception"),
                fmt::format("--precision {}: fp32, or bf16 with the Inception network", precision));
  base::require(
      weights.empty() || extractor == "embedded",
      "--weights: only for --extractor embedded; give Inception's weights as --inception");
  base::require(inception.empty() || extractor == "inception",
                "--inception needs --extractor inception");
  const FidOptions plain;
  base::require(
      extractor == "inception" || (protocol == plain.protocol && dimensions == plain.dimensions),
      fmt::format("--{} needs --extractor inception",
                  protocol == plain.protocol ? "dimensions" : "protocol"));
}

void FidOptions::take_sampler_of_run() {
  if (run.empty()) return;
  const auto training = read_run_config(RunDir(run));
  sample = training.sample;
  guidance = training.guidance;
}

bool FidOptions::take_reference_of_run() {
  const bool is_needed = checkpoints.empty() ? save_stats.empty() && save_features.empty() : true;
  if (run.empty() || !ref.empty() || !is_needed) return false;
  const auto training = read_run_config(RunDir(run));
  ref = training.score_ref.empty() ? training.data : training.score_ref;
  base::require(!ref.empty(), "--ref is missing; the run does not say what it trained on");
  base::require(!training.score_ref.empty() || !training.encoders.is_latent(),
                "--ref is missing; give images or statistics: the run trained on latents, {}",
                training.data);
  dataset = training.dataset;
  dataset.image_size = image_size_of(training.encoders, training.model.input());
  return true;
}

void FidOptions::check_paths() const {
  if (is_run_folder(images))
    throw std::invalid_argument(fmt::format("--images {0}: a run folder; pass --run {0}", images));
  if (is_run_folder(ref))
    throw std::invalid_argument(
        fmt::format("--ref {}: a run folder; give images or statistics", ref));
  formats::refuse_same_file({save_stats, save_features},
                            {ref, images, run_weights, captions, inception});
  for (const auto& file : {save_stats, save_features}) {
    if (file.empty()) continue;
    formats::check_writable_file(file);
  }
  if (report.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(report, error);
  if (error)
    throw std::runtime_error(
        fmt::format("--report {}: no folder can be made there: {}", report, error.message()));
  formats::check_writable_file(std::filesystem::path(report) / "score.json");
}

}  // namespace uvic::app
