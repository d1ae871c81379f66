#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "app/watch/sample_desk.h"
#include "base/check.h"
#include "base/field.h"
#include "data/formats/json.h"
#include "diffusion/sampler.h"

namespace uvic::app {
namespace {

using nlohmann::json;

std::string text_of_ask(const json& ask, const char* key, size_t most) {
  if (!ask.contains(key)) return "";
  base::require(ask[key].is_string(), "{}: wants a text", key);
  auto text = ask[key].get<std::string>();
  base::require(text.size() <= most, "{}: longer than {} bytes", key, most);
  return text;
}

int64_t count_of_ask(const json& ask, const char* key, int64_t absent, double low, double high) {
  if (!ask.contains(key)) return absent;
  const auto& value = ask[key];
  const bool is_count =
      value.is_number_integer() && value.get<double>() >= low && value.get<double>() <= high;
  base::require(is_count, "{}: wants a whole number from {:.0f} to {:.0f}", key, low, high);
  return value.get<int64_t>();
}

}  // namespace

SampleAsk parse_sample_ask(const std::string& text, const SampleLimits& limits) {
  formats::JsonLimits bounds;
  bounds.bytes = 64 << 10;
  bounds.depth = 2;
  bounds.values = 64;
  const auto ask = formats::try_parse_json(text, bounds);
  base::require(ask && ask->is_object(), "a sample: wants a JSON object");
  for (const auto& [key, ignored] : ask->items()) {
    bool is_known = false;
    for (const auto* known :
         {"run", "checkpoint", "label", "prompt", "seed", "images", "steps", "sampler", "guidance"})
      is_known = is_known || key == known;
    base::require(is_known, "a sample has no {}", key.substr(0, 40));
  }
  SampleAsk result;
  result.run = text_of_ask(*ask, "run", 40);
  result.label = text_of_ask(*ask, "label", 200);
  result.prompt = text_of_ask(*ask, "prompt", limits.prompt_bytes);
  if (const auto name = text_of_ask(*ask, "sampler", 40); !name.empty()) result.sampler = name;
  diffusion::sampler_info(result.sampler);  // throws for an unknown one
  result.checkpoint = count_of_ask(*ask, "checkpoint", 0, 0, base::kMostCount);
  result.images = count_of_ask(*ask, "images", 1, 1, static_cast<double>(limits.images));
  result.seed =
      count_of_ask(*ask, "seed", 0, 0, base::kMostCount - static_cast<double>(limits.images));
  result.steps = count_of_ask(*ask, "steps", 20, 1, static_cast<double>(limits.steps));
  if (ask->contains("guidance")) {
    const auto& value = (*ask)["guidance"];
    base::require(value.is_number() && std::abs(value.get<double>()) <= 1000,
                  "guidance: wants a number from -1000 to 1000");
    result.guidance = value.get<double>();
  }
  return result;
}

}  // namespace uvic::app
