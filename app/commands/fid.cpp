#include "app/commands/fid.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/commands/extractor_alias.h"
#include "app/commands/fid_checkpoints.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/scoring/score_images.h"
#include "base/process_group.h"
#include "base/process_place.h"
#include "base/tensor_text.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

using nlohmann::json;

/// "embedded 0123456789ab, SHAPE, fp32; 5000 images against 10000; checkpoint 0123456789ab after
/// 64000 images, unipc with 20 steps, guidance 1.5": what must be known to compare the number.
std::string provenance_line(const json& score) {
  const auto text = [](const json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? std::string("unknown")
           : found->is_string()                      ? found->get<std::string>()
                                                     : found->dump();
  };
  const auto hash = [&](const json& object, const char* key) {
    return text(object, key).substr(0, 12);
  };
  auto line = fmt::format("{} {}, {}, {}; {} images against {}",
                          text(score, "extractor"),
                          hash(score, "extractor_sha256"),
                          text(score, "resize"),
                          text(score, "precision"),
                          text(score["images"], "count"),
                          text(score["reference"], "count"));
  const auto& samples = score["samples"];
  if (samples.is_object()) {
    line += fmt::format("; checkpoint {} after {} images, {} with {} steps, guidance {}",
                        hash(samples, "checkpoint_sha256"),
                        text(samples, "images_seen"),
                        text(samples, "sampler"),
                        text(samples, "steps"),
                        text(samples, "guidance_scale"));
    if (samples.contains("seeds")) line += ", seeds " + text(samples, "seeds");
  }
  return base::printable_text(line);
}

/// "FD (embedded) = 12.34 +- 0.05 (12.1 extrapolated to infinitely many images)", a line for each
/// metric, and what they were made with.
void print_scores(const FidResult& result) {
  for (const auto& metric : result.json["metrics"]) {
    auto line = fmt::format(
        "{} = {}", metric["name"].get<std::string>(), base::significant(metric["value"], 6));
    if (!metric["std"].is_null())
      line += fmt::format(" +- {}", base::significant(metric["std"], 2));
    if (!metric["extrapolated"].is_null())
      line += fmt::format(" ({} extrapolated to infinitely many images)",
                          base::significant(metric["extrapolated"], 6));
    fmt::print("{}\n", line);
  }
  fmt::print("{}\n", provenance_line(result.json));
  std::fflush(stdout);  // before files are written: the score must not be lost with them
}

}  // namespace

void add_fid_command(CLI::App& app) {
  auto options = std::make_shared<FidOptions>();
  auto* command = app.add_subcommand("fid", "Score images against a reference");
  add_fields(*command, *options);
  show_default(*command, {"guidance_", "sample."}, "the run's");
  add_extractor_alias(*command, options->extractor);
  command->callback([options, command] {
    options->take_sampler_of_run();  // default < the run's config < command line
    take_extractor_of_run(*command, *options);
    if (options->take_reference_of_run() && base::process_place().rank == 0)
      fmt::print(stderr, "reference: {}, the run's own\n", options->ref);
    apply_given(*command, *options);
    if (!options->checkpoints.empty()) return score_checkpoints(*options);
    const auto result = run_fid(*options, print_scores);
    if (const auto* group = base::process_group(); group && !group->is_first()) return;
    print_json(result.json);
    if (!options->report.empty() && !options->ref.empty())
      fmt::print(stderr, "{}/score.json\n", options->report);
    for (const auto& file : {options->save_stats, options->save_features})
      if (!file.empty()) fmt::print(stderr, "{}\n", file);
  });
}

}  // namespace uvic::app
