#include "app/lab/attention_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "app/report/page.h"
#include "app/report/plot.h"
#include "app/sampling/image_grid.h"
#include "base/base64.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

using nlohmann::json;

/// uint8 [3, S, S], or nothing, as a data URI.
json uri_of(const torch::Tensor& planes) {
  return planes.defined() ? json(data_uri(to_images(planes.unsqueeze(0))[0])) : json();
}

/// The blocks and heads that are shown, of a tensor [blocks, heads, ...].
torch::Tensor shown(const torch::Tensor& all, const LabSubject& subject) {
  return all.index_select(0, torch::tensor(subject.blocks))
      .index_select(1, torch::tensor(subject.heads))
      .contiguous();
}

json map_json(const AttentionMap& map, const LabSubject& subject, size_t number) {
  const auto weights = shown(map.quantised, subject), largest = shown(map.largest, subject);
  const auto* bytes = reinterpret_cast<const uint8_t*>(weights.data_ptr<int8_t>());
  const auto* largest_bytes = reinterpret_cast<const uint8_t*>(largest.data_ptr<float>());
  return {{"subject", number},
          {"example", map.example},
          {"time", map.time},
          {"queries", map.queries},
          {"weights", base::base64({bytes, bytes + weights.numel()})},
          {"largest", base::base64({largest_bytes, largest_bytes + largest.nbytes()})},
          {"words", map.words},
          {"image", uri_of(map.image)},
          {"noisy", uri_of(map.noisy)}};
}

/// JSON that is safe in a script element.
std::string embedded(const json& data) {
  auto text = data.dump(-1, ' ', false, json::error_handler_t::replace);
  for (size_t found = 0; (found = text.find('<', found)) != std::string::npos;)
    text.replace(found, 1, "\\u003c");
  return text;
}

size_t place_count(const json& settings) {
  return settings["timesteps"].size() + settings["positions"].size();
}

/// "t = 0.3", or "positions 64-127".
std::string place_text(const json& settings, size_t place) {
  if (settings["positions"].empty())
    return fmt::format("t = {}", settings["timesteps"][place].get<double>());
  const auto& range = settings["positions"][place];
  const auto first = range["first"].get<int64_t>(), last = range["last"].get<int64_t>();
  return first == last ? fmt::format("position {}", first)
                       : fmt::format("positions {}-{}", first, last);
}

std::string verdict(const json& numbers) {
  std::string text;
  const auto& settings = numbers["settings"];
  for (const auto& subject : numbers["subjects"]) {
    int64_t cells = 0, both = 0;
    double mass = 0;
    for (const auto& blocks : subject["head_mean"]["negative_mass"]["mean"])
      for (const auto& value : blocks) {
        if (!value.is_number()) continue;
        mass += value.get<double>();
        ++cells;
      }
    for (const auto& blocks : subject["head"]["both_rows"]["mean"])
      for (const auto& heads : blocks)
        for (const auto& value : heads) both += value.is_number() && value.get<double>() > 0.5;
    text += fmt::format(
        "{}: {} % of the attention mass is negative; most queries both copy and delete in {} of {} "
        "cases of a head at {}. ",
        subject["title"].get<std::string>(),
        base::significant(cells ? 100 * mass / static_cast<double>(cells) : 0, 3),
        both,
        place_count(settings) * subject["blocks"].size() * subject["heads"].size(),
        settings["positions"].empty() ? "a timestep" : "a range of positions");
  }
  return text;
}

double value_or_nan(const json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// The line of one network through its blocks; false where nothing is defined.
bool add_depth_line(
    LinePlot& plot, const json& subject, const json& values, size_t time, size_t colour) {
  Series series;
  series.name = subject["title"];
  series.colour = colour;
  series.markers = true;
  bool any = false;
  for (size_t b = 0; b < subject["blocks"].size(); ++b) {
    const double mean = value_or_nan(values["mean"][time][b]);
    const double error = value_or_nan(values["error"][time][b]);
    any = any || std::isfinite(mean);
    series.x.push_back(subject["blocks"][b]);
    series.y.push_back(mean);
    series.error.push_back(std::isfinite(error) ? error : 0);
  }
  plot.series.push_back(std::move(series));
  return any;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> depth_figures(const json& numbers) {
  std::vector<std::pair<std::string, std::string>> figures;
  const auto& settings = numbers["settings"];
  const size_t time = place_count(settings) / 2;
  for (const auto& [part, list] : {std::pair("head_mean", "head"),
                                   std::pair("block", "block"),
                                   std::pair("gradient", "gradient")})
    for (const auto& statistic : numbers["statistics"][list]) {
      const std::string name = statistic["name"];
      LinePlot plot;
      plot.title =
          fmt::format("{}, {}", statistic["title"].get<std::string>(), place_text(settings, time));
      plot.x_label = "block";
      plot.y_label = statistic["title"];
      bool any = false;
      size_t colour = 0;
      for (const auto& subject : numbers["subjects"])
        any |= add_depth_line(plot, subject, subject[part][name], time, colour++);
      if (any) figures.emplace_back(name, to_svg(plot, print_palette()));
    }
  return figures;
}

std::string attention_page(const json& numbers, const std::vector<LabSubject>& subjects) {
  json maps = json::array();
  for (size_t i = 0; i < subjects.size(); ++i)
    for (const auto& map : subjects[i].result.maps) maps.push_back(map_json(map, subjects[i], i));
  std::vector<std::string> names;
  for (const auto& subject : numbers["subjects"]) names.push_back(subject["title"]);
  const auto& settings = numbers["settings"];
  json view = {{"title", fmt::format("Attention of {}", fmt::join(names, " and "))},
               {"verdict", verdict(numbers)},
               {"created", settings["created"]},
               {"version", settings["version"]},
               {"images", settings["images"]},
               {"examples", settings["examples"]},
               {"place", settings["positions"].empty() ? "timestep" : "positions"},
               {"describe", settings["describe"]},
               {"command", settings["command"]},
               {"statistics", json::array()},
               {"networks", json::array()},
               {"data", embedded(numbers)},
               {"maps", embedded(maps)}};
  for (const auto* list : {"head", "block", "gradient", "circuit"})
    for (const auto& statistic : numbers["statistics"][list])
      view["statistics"].push_back(statistic);
  for (const auto& subject : numbers["subjects"])
    view["networks"].push_back(
        {{"title", subject["title"]},
         {"weights", subject["weights"]},
         {"sha256", subject["weights_sha256"]},
         {"images_seen", subject["images_seen"]},
         {"kinds",
          fmt::format("{}", fmt::join(subject["kinds"].get<std::vector<std::string>>(), ", "))}});
  return render_page("attention.html", std::move(view));
}

}  // namespace uvic::app
