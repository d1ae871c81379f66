#include "app/runs/read_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/runs/network_options.h"
#include "base/check.h"
#include "base/list_text.h"
#include "base/text_format.h"
#include "data/tokens/token_source.h"
#include "model/network_options.h"

namespace uvic::app {
namespace {

/// Options of images outside the section of the network, by how they begin.
struct OfImages {
  const char *begin, *why;
};
constexpr const char *kNoImages = "sequences are no images",
                     *kNoPatches = "sequences have no patches",
                     *kNoNoise = "sequences have no noise",
                     *kNoFeatures = "scores of sequences need no feature network";
constexpr OfImages kOfImages[] = {
    {"flip", kNoImages},
    {"augment", kNoImages},
    {"workers", kNoImages},
    {"dataset.", kNoImages},
    {"autoencoder", kNoImages},
    {"latent_", kNoImages},
    {"tile", kNoImages},
    {"text_encoder", kNoImages},
    {"label_dropout", "sequences have no labels"},
    {"route_", kNoPatches},
    {"path_drop", kNoPatches},
    {"diffusion.dispersive_", kNoPatches},
    {"diffusion.", kNoNoise},
    {"sample.", kNoNoise},
    {"guidance_", "sequences have no guidance"},
    {"score_extractor", kNoFeatures},
    {"inception", kNoFeatures},
};

bool changes_nothing(const std::string& option) {
  for (const auto* harmless :
       {"flip", "workers", "dataset.memory_limit_mib", "sample.lower_order_final"})
    if (option == harmless) return true;
  return false;
}

/// Whether 0 leaves the option to the data.
bool is_left_to_data(const std::string& option) {
  for (const auto* left :
       {"model.img_size", "model.in_chans", "model.num_classes", "dataset.image_size"})
    if (option == left) return true;
  return false;
}

bool is_read_by_images(const std::string& option) {
  for (const auto& kind : model::network_choices()) {
    model::NetworkConfig config;
    config.kind = kind.name;
    if (works_on_images(config) && is_read_by_network(option, config.kind)) return true;
  }
  return false;
}

std::string section_of_option(const std::string& option) {
  return option.substr(0, option.rfind('.') + 1);
}

/// "model." of "model.small.".
std::string section_around(const std::string& section) {
  return section_of_option(section.substr(0, section.size() - 1));
}

bool is_meant_by(const std::string& word, const std::string& value) {
  if (word.empty() || word.back() != '*') return word == value;
  return base::begins_with(value, word.substr(0, word.size() - 1));
}

std::vector<Reader> readers_in(const std::string& section,
                               const std::string& option,
                               const std::string& word,
                               const KnownOptions& known) {
  if (const auto space = word.find(' '); space != std::string::npos) {
    const auto name = section + word.substr(0, space);
    if (known.count(name)) return {{name, word.substr(space + 1)}};
    return {};
  }
  std::vector<Reader> readers;
  for (const auto& [name, own] : known) {
    if (section_of_option(name) != section || name == option) continue;
    for (const auto& choice : own.choices)
      if (is_meant_by(word, choice.name)) readers.push_back({name, choice.name});
  }
  if (readers.empty() && known.count(section + word)) readers.push_back({section + word, ""});
  return readers;
}

bool is_on(const Reader& reader, const KnownOptions& known) {
  const auto& value = known.at(reader.option).value;
  if (!reader.value.empty()) return value == reader.value;
  return !value.empty() && value != "0" && value != "false" && value != "none";
}

/// "optimizer.kind muon, which is adamw", or "route_share, which is 0".
std::string needs_text(const std::vector<Reader>& readers, const KnownOptions& known) {
  std::vector<std::string> options;
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& [option, value] : readers) {
    if (!values.count(option)) options.push_back(option);
    auto& own = values[option];
    if (!value.empty()) own.push_back(value);
  }
  std::vector<std::string> parts;
  for (const auto& option : options) {
    const auto& own = values.at(option);
    const auto& value = known.at(option).value;
    parts.push_back(fmt::format("{}{}{}, which is {}",
                                option,
                                own.empty() ? "" : " ",
                                fmt::join(own, " or "),
                                value.empty() ? "empty" : value));
  }
  return fmt::format("{}", fmt::join(parts, "; or "));
}

}  // namespace

KnownOptions options_of(const std::vector<base::Leaf>& leaves) {
  KnownOptions known;
  for (const auto& leaf : leaves) {
    auto& own = known[leaf.name];
    own.value = leaf.text();
    own.readers = leaf.field.readers();
    own.choices = leaf.field.choices();
  }
  return known;
}

std::string unread_reason(const std::string& option, const RunConfig& config) {
  const auto& kind = config.model.kind;
  if (base::begins_with(option, "model."))
    return is_read_by_network(option, kind)
               ? ""
               : fmt::format("a network of kind {} does not read it", kind);
  const bool sequences = config.is_of_sequences();
  if (base::begins_with(option, "tokens.")) return sequences ? "" : "images have no tokens";
  if (sequences)
    for (const auto& [begin, why] : kOfImages)
      if (base::begins_with(option, begin)) return why;
  return "";
}

void refuse_options_of_images(const RunConfig& config) {
  if (!config.is_of_sequences()) return;
  const auto plain = known_options(RunConfig()), known = known_options(config);
  const auto section = model::network_section(config.model.kind);
  for (const auto& [name, own] : known) {
    const auto why = unread_reason(name, config);
    const auto& usual = plain.at(name).value;
    if (why.empty() || own.value == usual || changes_nothing(name)) continue;
    const bool of_network = base::begins_with(name, "model.");
    if (of_network && !is_read_by_images(name)) continue;  // of another network of sequences
    if (is_left_to_data(name) && own.value == "0") continue;
    const auto of_kind = fmt::format("model.{}.{}", section, name.substr(name.rfind('.') + 1));
    throw std::invalid_argument(fmt::format("--{}: {}; {}",
                                            name,
                                            why,
                                            of_network && known.count(of_kind)
                                                ? fmt::format("its own is --{}", of_kind)
                                            : usual.empty() ? std::string("leave it out")
                                                            : fmt::format("set it to {}", usual)));
  }
}

std::vector<Reader> readers_of(const std::string& option, const KnownOptions& known) {
  std::vector<Reader> all;
  for (const auto& item : base::list_items(known.at(option).readers)) {
    const auto word = item.substr(std::min(item.find_first_not_of(' '), item.size()));
    auto section = section_of_option(option);
    auto readers = readers_in(section, option, word, known);
    while (readers.empty() && !section.empty()) {
      section = section_around(section);
      readers = readers_in(section, option, word, known);
    }
    all.insert(all.end(), readers.begin(), readers.end());
  }
  return all;
}

std::string missing_reader(const std::string& option, const KnownOptions& known) {
  const auto readers = readers_of(option, known);
  if (readers.empty() || std::any_of(readers.begin(), readers.end(), [&](const Reader& reader) {
        return is_on(reader, known);
      }))
    return "";
  return "it needs " + needs_text(readers, known);
}

namespace {

/// Why what config.data names does not read an option of tokens; empty: it does.
std::string unread_by_tokens(const std::string& option, const RunConfig& config) {
  const std::string section = "tokens.";
  if (!config.is_of_sequences() || !base::begins_with(option, section)) return "";
  const auto* task = data::sequence_tasks().find(config.data);
  const std::string reads = task ? task->reads : "held_out";
  const auto names = base::list_items("length" + (reads.empty() ? "" : "," + reads));
  if (std::find(names.begin(), names.end(), option.substr(section.size())) != names.end())
    return "";
  return fmt::format("{} reads {}", task ? task->name : "text", fmt::join(names, ", "));
}

}  // namespace

std::vector<std::string> notes_of_unread(const RunConfig& config,
                                         const std::vector<std::string>& given) {
  const auto known = known_options(config);
  std::vector<std::string> notes;
  for (const auto& option : given) {
    if (!known.count(option)) continue;
    auto why = unread_reason(option, config);
    if (why.empty()) why = missing_reader(option, known);
    if (why.empty()) why = unread_by_tokens(option, config);
    if (!why.empty())
      notes.push_back(fmt::format("{} is not read in this training: {}", option, why));
  }
  return notes;
}

}  // namespace uvic::app
