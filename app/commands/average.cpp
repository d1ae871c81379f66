#include "app/commands/average.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/power_profile.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "base/check.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/output_file.h"
#include "data/formats/safetensors.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

/// The kept averages up to the first that ends at `images` or after, all where that is 0.
std::vector<AverageFile> kept_averages(const RunDir& run, int64_t images) {
  auto files = run.averages();
  base::require(!files.empty(),
                "{}: no averages/*.safetensors; a run keeps them if it is trained with --ema_power "
                "0.05,0.1",
                run.path().string());
  base::require(images <= files.back().images_seen,
                "--images {}: the latest kept average of {} ends at {}",
                images,
                run.path().string(),
                files.back().images_seen);
  if (images == 0) return files;
  const auto last = std::find_if(
      files.begin(), files.end(), [&](const auto& file) { return file.images_seen >= images; });
  files.erase(std::remove_if(
                  files.begin(),
                  files.end(),
                  [end = last->images_seen](const auto& file) { return file.images_seen > end; }),
              files.end());
  return files;
}

/// Adds factor times the tensors of a file to `sums`, float64.
formats::TensorFile add_file(const fs::path& path,
                             double factor,
                             std::map<std::string, torch::Tensor>& sums) {
  auto file = formats::read_safetensors(path);
  const bool is_first = sums.empty();
  for (const auto& [name, tensor] : file.tensors) {
    if (is_first) sums[name] = torch::zeros(tensor.sizes(), torch::kFloat64);
    const auto found = sums.find(name);
    base::require(found != sums.end() && found->second.sizes() == tensor.sizes(),
                  "{}: {} is not that of the other averages of the run; it is of another network",
                  path.string(),
                  name);
    found->second.add_(tensor, factor);
  }
  base::require(file.tensors.size() == sums.size(),
                "{}: {} tensors, the other averages of the run have {}",
                path.string(),
                file.tensors.size(),
                sums.size());
  return file;
}

void print_result(const AverageOptions& options, const AverageResult& result) {
  print_json({{"written", result.out.string()},
              {"width", options.width},
              {"power", result.power},
              {"images_seen", result.images},
              {"kept", result.kept},
              {"error", result.error},
              {"factor_sum", result.factor_sum}});
  fmt::print("{}: width {}, power {:.2f}, {} images; of {} kept averages, widths {} to {}\n",
             result.out.string(),
             options.width,
             result.power,
             result.images,
             result.kept,
             result.narrowest,
             result.widest);
  fmt::print("error of the profile: {:.2g} of its size; factors add up to {:.3g} in size\n",
             result.error,
             result.factor_sum);
  constexpr double kNear = 0.1, kFar = 0.3;
  if (result.error > kFar)
    fmt::print(
        stderr,
        "warning: this is no average of width {}: its profile differs by {:.0f} % of its size. "
        "Choose a width between {} and {}, or keep more averages (--checkpoint_images)\n",
        options.width,
        100 * result.error,
        result.narrowest,
        result.widest);
  else if (result.error > kNear)
    fmt::print(
        stderr,
        "note: the kept averages come near this width only; more of them (--checkpoint_images) or "
        "other widths (--ema_power) would make a better one\n");
}

}  // namespace

AverageResult run_average(const AverageOptions& options) {
  base::check_fields(options);
  const fs::path out(options.out);
  base::require(
      out.extension() == ".safetensors", "{}: want a name that ends in .safetensors", options.out);
  refuse_part_of_run(out);
  formats::check_output_file(out, options.overwrite);
  const RunDir run(options.run);
  const auto files = kept_averages(run, options.images);
  AverageResult result;
  result.out = out;
  result.images = files.back().images_seen;
  std::vector<PowerProfile> kept;
  for (const auto& file : files)
    kept.push_back({file.width, static_cast<double>(file.images_seen)});
  const PowerProfile wanted{options.width, static_cast<double>(result.images)};
  const auto made = reconstruct(kept, wanted);
  result.power = wanted.power();
  result.error = made.error;
  result.narrowest = result.widest = files.front().width;
  std::map<std::string, torch::Tensor> sums;
  std::map<std::string, std::string> metadata;
  for (size_t i = 0; i < files.size(); ++i) {
    result.narrowest = std::min(result.narrowest, files[i].width);
    result.widest = std::max(result.widest, files[i].width);
    if (made.factors[i] == 0) continue;
    metadata = add_file(files[i].path, made.factors[i], sums).metadata;
    result.factor_sum += std::abs(made.factors[i]);
    ++result.kept;
  }
  metadata["uvic.images_seen"] = fmt::format("{}", result.images);
  metadata["uvic.ema_width"] = fmt::format("{}", options.width);
  metadata["uvic.ema_error"] = fmt::format("{:.3g}", result.error);
  formats::TensorFile file{{}, std::move(metadata)};
  for (const auto& [name, sum] : sums) file.tensors[name] = sum.to(torch::kFloat32);
  formats::write_safetensors(out, file);
  return result;
}

void add_average_command(CLI::App& app) {
  auto options = std::make_shared<AverageOptions>();
  auto* command = app.add_subcommand(
      "average", "An average of a run's weights of any length, after the training (--ema_power)");
  command->add_option("RUN", options->run, "A run folder trained with --ema_power")->required();
  command->add_option("OUT", options->out, "NAME.safetensors, for sample --weights")->required();
  add_fields(*command, *options);
  command->callback([options] {
    base::set_up_process(0);
    print_result(*options, run_average(*options));
  });
}

}  // namespace uvic::app
