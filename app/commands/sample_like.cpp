#include "app/commands/sample_like.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/tensor_text.h"

namespace uvic::app {

void require_weights_of_like(const SampleOptions& given) {
  if (given.like.empty() || !given.run.empty() || !given.weights.empty()) return;
  const auto sample = read_sample_text(given.like);
  const auto said = [&](const char* key) {
    const auto value = sample.find(key);
    if (value == sample.end()) return std::string("?");
    return base::printable_text(value->is_string() ? value->get<std::string>() : value->dump());
  };
  throw std::invalid_argument(
      fmt::format("--like {}: give --run or --weights too; it was made by weights with sha256 {}, "
                  "after {} images{}",
                  given.like,
                  said("checkpoint_sha256"),
                  said("images_seen"),
                  sample.contains("run_id") ? " of the run " + said("run_id") : ""));
}

void take_like(const SampleOptions& given, SampleOptions& options) {
  const auto sample = read_sample_text(given.like);
  const auto request = request_like(sample, given.like, options.sample, options.guidance);
  options.like_record = sample.dump();
  options.seeds = request.seeds;
  options.labels = request.labels;
  options.interpolate = request.interpolate;
  if (request.frames > 0) options.frames = request.frames;
  if (!request.precision.empty()) options.precision = request.precision;
  if (!request.device.empty()) options.device = request.device;
  if (request.strength) options.strength = *request.strength;
  if (request.repeats) options.repeats = *request.repeats;
  if (request.prompt) options.prompt = {*request.prompt};
  if (given.weights.empty() && !given.run.empty())
    options.weights = weights_like(sample, given.run).string();
}

void note_differences(const SampleOptions& options, const SampleProvenance& provenance) {
  if (options.like_record.empty()) return;
  const auto sample = nlohmann::json::parse(options.like_record);
  for (const auto& difference : differences_from(sample, provenance.settings()))
    fmt::print(stderr, "note: not as {}: {}\n", options.like, difference);
}

}  // namespace uvic::app
