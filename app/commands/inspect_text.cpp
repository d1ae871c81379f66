#include "app/commands/inspect_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "app/commands/inspect_autoencoder.h"
#include "app/commands/inspect_clip.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::app {
namespace {

using nlohmann::json;

std::string text_of(const json& value) {
  return base::printable_text(value.is_string()
                                  ? value.get<std::string>()
                                  : value.dump(-1, ' ', false, json::error_handler_t::replace));
}

void print_line(const std::string& key, const std::string& value) {
  fmt::print("{:<12} {}\n", base::printable_text(key), value);
}

void print_autoencoder(const json& autoencoder) {
  for (const auto& [label, text] : autoencoder_lines(autoencoder))
    print_line(label, base::printable_text(text));
}

/// Whether a field of a network's config has a meaning for its kind: its own section, or what
/// stands in none where the kind has no section.
bool is_of_kind(const json& config, const std::string& name) {
  if (name == "kind") return true;
  const auto kind = config["kind"].get<std::string>();
  if (!config[name].is_object()) return kind == "uvit";
  return kind != "uvit" && (name == kind || (name == "small" && !config.contains(kind)));
}

/// "kind uvit, embed_dim 512, depth 12": in the order of the struct, as TOML has it, not in the
/// alphabet's.
std::string config_line(const json& config) {
  std::string text;
  model::NetworkConfig order;
  order.fields([&](const char* name, auto&, const base::Field&) {
    if (!is_of_kind(config, name)) return;
    if (!config[name].is_object()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, text_of(config[name]));
      return;
    }
    for (const auto& [key, value] : config[name].items())
      text += fmt::format(", {} {}", key, text_of(value));
  });
  return text;
}

void print_images(const char* key, const json& images) {
  const auto& classes = images["classes"];
  print_line(
      key,
      fmt::format(
          "{} of {}, {}",
          images["count"].get<int64_t>(),
          images["image_size"] == 0 ? text_of(images["sizes"])
                                    : fmt::format("{} px", images["image_size"].get<int64_t>()),
          images["labels"].get<bool>() ? fmt::format("{} classes", classes.size()) : "no labels"));
  for (const auto& note : images.value("notes", json::array())) print_line("", text_of(note));
  constexpr size_t kShown = 100;
  for (size_t i = 0; i < std::min(classes.size(), kShown); ++i)
    print_line(
        "",
        fmt::format("{:>8}  {}", classes[i]["count"].get<int64_t>(), text_of(classes[i]["name"])));
  if (classes.size() > kShown) print_line("", fmt::format("... {} more", classes.size() - kShown));
}

void print_tensors(const json& tensors) {
  size_t widest = 4, shape = 5;
  std::vector<std::string> names, shapes;
  for (const auto& row : tensors) {
    names.push_back(text_of(row["name"]));
    shapes.push_back(base::shape_text(row["shape"].get<std::vector<int64_t>>()));
    widest = std::max(widest, names.back().size());
    shape = std::max(shape, shapes.back().size());
  }
  fmt::print("\n{:<{}}  {:<10}  {:<{}}  {:>9}\n", "name", widest, "dtype", "shape", shape, "size");
  for (size_t i = 0; i < names.size(); ++i)
    fmt::print("{:<{}}  {:<10}  {:<{}}  {:>9}\n",
               names[i],
               widest,
               tensors[i]["dtype"].get<std::string>(),
               shapes[i],
               shape,
               base::bytes_text(tensors[i]["bytes"].get<double>()));
}

void print_network(const json& network) {
  if (network.contains("prefix")) print_line("network", "under " + text_of(network["prefix"]));
  if (network.contains("fault")) print_line("config", text_of(network["fault"]));
  if (!network.contains("config")) return;
  print_line("config", config_line(network["config"]));
  print_line("", text_of(network["origin"]));
  for (const auto& assumed : network["assumed"]) print_line("", "assumed: " + text_of(assumed));
  if (network.contains("notes"))
    for (const auto& note : network["notes"]) print_line("note", text_of(note));
}

}  // namespace

void print_inspection(const json& report) {
  fmt::print("{}\n", text_of(report["path"]));
  print_line("kind", text_of(report["kind"]));
  print_line("size",
             fmt::format("{} ({} bytes)",
                         base::bytes_text(report["size_bytes"].get<double>()),
                         report["size_bytes"].get<int64_t>()));
  if (report.contains("note")) print_line("note", text_of(report["note"]));
  if (report.contains("weights")) print_line("weights", text_of(report["weights"]));
  for (const auto* key : {"parameters", "elements"})
    if (report.contains(key))
      print_line(
          key,
          fmt::format(
              "{} ({})", base::si_number(report[key].get<double>()), report[key].get<int64_t>()));
  if (report.contains("step")) print_line("step", text_of(report["step"]));
  if (report.contains("images_seen")) print_line("images seen", text_of(report["images_seen"]));
  if (report.contains("autoencoder")) print_autoencoder(report["autoencoder"]);
  if (report.contains("text_encoder"))
    for (const auto& [label, text] : clip_text_lines(report["text_encoder"]))
      print_line(label, text);
  if (report.contains("network"))
    print_network(report["network"]);
  else if (report.contains("config"))
    print_line("config", config_line(report["config"]["model"]));
  if (report.contains("image"))
    print_line("image",
               fmt::format("{} x {} px",
                           report["image"]["width"].get<int>(),
                           report["image"]["height"].get<int>()));
  if (report.contains("images")) print_images("images", report["images"]);
  if (report.contains("test_images")) print_images("test", report["test_images"]);
  if (report.contains("run"))
    for (const auto& [key, value] : report["run"].items())
      print_line(key,
                 key == "checkpoints" || key == "scores"
                     ? fmt::format("{}{}",
                                   value.size(),
                                   value.empty() ? "" : ", the last " + text_of(value.back()))
                     : text_of(value));
  for (const auto* key : {"sample", "metadata", "values", "other_values", "content"})
    if (report.contains(key) && !report[key].empty()) {
      if (!report[key].is_object()) {
        print_line(key, base::cut_to(text_of(report[key]), 200));
        continue;
      }
      size_t shown = 0;
      for (const auto& [name, value] : report[key].items()) {
        if (++shown > 40) {
          print_line("", fmt::format("... {} more; --json prints all", report[key].size() - 40));
          break;
        }
        print_line(shown == 1 ? key : "",
                   fmt::format("{}{}",
                               name.empty() ? "" : base::printable_text(name) + " = ",
                               base::cut_to(text_of(value), 120)));
      }
    }
  if (report.contains("tensors") && !report["tensors"].empty()) print_tensors(report["tensors"]);
}

}  // namespace uvic::app
