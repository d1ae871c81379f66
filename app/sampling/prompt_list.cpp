#include "app/sampling/prompt_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "app/runs/latent_space.h"
#include "app/runs/processes.h"
#include "base/check.h"
#include "base/hash.h"
#include "data/caption_list.h"
#include "data/captioned_set.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/permutation.h"
#include "data/unicode_text.h"

namespace uvic::app {
namespace {

using nlohmann::json;

constexpr size_t kLongestText = size_t{1} << 14;  // bytes; text encoders read 77 tokens of it

/// One text may be asked for with ten thousand seeds.
void require_short(const std::string& text, const std::string& file) {
  if (text.size() > kLongestText)
    throw std::runtime_error(fmt::format(
        "{}: a text of {} bytes; at most {} are taken", file, text.size(), kLongestText));
}

/// What is wrong with the first prompt that is not UTF-8; empty where all are.
std::string bad_prompt(const std::vector<std::string>& prompts) {
  for (size_t i = 0; i < prompts.size(); ++i)
    if (const auto bad = data::find_bad_utf8(prompts[i]))
      return fmt::format("prompt {} is not UTF-8: byte {} is 0x{:02x}",
                         i + 1,
                         *bad,
                         static_cast<unsigned char>(prompts[i][*bad]));
  return "";
}

std::vector<std::string> lines_of_prompts(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

/// The prompts of a JSON list of texts; nothing where the text is no JSON list. A line may begin
/// with a bracket too.
std::optional<std::vector<std::string>> prompts_of_list(const std::string& text,
                                                        const std::string& file) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '[') return std::nullopt;
  const auto list = formats::try_parse_json(text);
  if (!list || !list->is_array()) return std::nullopt;
  for (const auto& prompt : *list)
    if (!prompt.is_string())
      throw std::runtime_error(fmt::format(
          "{}: a list with a {} in it, want a list of texts", file, prompt.type_name()));
  return list->get<std::vector<std::string>>();
}

/// Captions by image, in the order of the images' ids.
std::vector<std::vector<std::string>> captions_of_coco(const json& file, const std::string& name) {
  std::map<int64_t, std::vector<std::string>> by_image;
  for (const auto& annotation : file.at("annotations")) {
    if (!annotation.is_object() || !annotation.contains("image_id") ||
        !annotation["image_id"].is_number_integer() || !annotation.contains("caption") ||
        !annotation["caption"].is_string())
      throw std::runtime_error(
          fmt::format("{}: an annotation without image_id and caption; is this MS-COCO's "
                      "captions_*.json?",
                      name));
    by_image[annotation["image_id"].get<int64_t>()].push_back(annotation["caption"]);
  }
  std::vector<std::vector<std::string>> captions;
  for (auto& [id, own] : by_image) captions.push_back(std::move(own));
  return captions;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string::npos;
}

/// Leaves out empty captions, as uvic encode does, and images that have no other.
void drop_blank(std::vector<std::vector<std::string>>& of_images, const std::string& file) {
  size_t blank = 0;
  for (auto& captions : of_images) {
    const auto end = std::remove_if(captions.begin(), captions.end(), is_blank);
    blank += static_cast<size_t>(captions.end() - end);
    captions.erase(end, captions.end());
  }
  of_images.erase(std::remove_if(of_images.begin(),
                                 of_images.end(),
                                 [](const auto& captions) { return captions.empty(); }),
                  of_images.end());
  if (blank > 0) say_note(fmt::format("{}: {} empty captions left out", file, blank));
}

std::vector<std::vector<std::string>> captions_of_file(const std::string& file) {
  const std::string text(data::without_mark(formats::read_file(file)));
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    const auto parsed = formats::parse_json(text, file);
    if (!parsed.contains("annotations") || !parsed["annotations"].is_array())
      throw std::runtime_error(fmt::format(
          "{}: no captions; give MS-COCO's captions_*.json, a JSON list of texts, or a text file "
          "with one a line",
          file));
    auto captions = captions_of_coco(parsed, file);
    for (const auto& of_image : captions)
      for (const auto& caption : of_image) require_short(caption, file);
    return captions;
  }
  std::vector<std::vector<std::string>> captions;
  for (auto& caption : data::read_caption_list(file)) {
    require_short(caption, file);
    captions.push_back({std::move(caption)});
  }
  return captions;
}

}  // namespace

std::vector<std::string> read_prompts(const std::vector<std::string>& given,
                                      const std::string& file) {
  if (file.empty()) {
    const auto bad = bad_prompt(given);
    base::require(bad.empty(), "--prompt: {}", bad);
    return given;
  }
  base::require(given.empty(), "--prompt, --prompts: give one of them");
  const std::string text(data::without_mark(formats::read_file(file)));
  const auto list = prompts_of_list(text, file);
  auto prompts = list ? *list : lines_of_prompts(text);
  if (const auto bad = bad_prompt(prompts); !bad.empty())
    throw std::runtime_error(fmt::format("{}: {}", file, bad));
  for (const auto& prompt : prompts) require_short(prompt, file);
  if (prompts.empty())
    throw std::runtime_error(fmt::format("{}: no prompt in it; give one a line", file));
  return prompts;
}

std::vector<std::string> choose_captions(const std::vector<std::vector<std::string>>& of_images,
                                         int64_t count,
                                         uint64_t seed) {
  constexpr uint64_t kOrder = 0x6f72646572, kChoice = 0x63617074;  // "order", "capt"
  std::vector<std::string> chosen;
  const auto images = static_cast<int64_t>(of_images.size());
  for (int64_t i = 0; i < count; ++i) {
    const data::Permutation order(
        images, base::hash2(base::hash2(seed, kOrder), static_cast<uint64_t>(i / images)));
    const auto& captions = of_images[static_cast<size_t>(order(i % images))];
    const auto choice = base::hash2(base::hash2(seed, kChoice), static_cast<uint64_t>(i));
    chosen.push_back(captions[choice % captions.size()]);
  }
  return chosen;
}

std::vector<std::string> choose_captions(const std::string& file, int64_t count, uint64_t seed) {
  auto captions = captions_of_file(file);
  drop_blank(captions, file);
  if (captions.empty()) throw std::runtime_error(fmt::format("{}: no caption in it", file));
  return choose_captions(captions, count, seed);
}

std::vector<std::string> captions_for(const RunConfig& training,
                                      const std::string& file,
                                      int64_t count,
                                      uint64_t seed) {
  if (!training.model.input().takes_context()) {
    base::require(file.empty(),
                  "--captions: leave it out; the network takes no text (model.clip_dim is 0)");
    return {};
  }
  if (!file.empty()) return choose_captions(file, count, seed);
  auto options = training.dataset;
  options.image_size = image_size_of(training.encoders, training.model.input());
  const auto images = data::open_captioned_dataset(training.data, options);
  std::vector<std::vector<std::string>> captions;
  const auto read = std::min(images->size(), std::max<int64_t>(1, count));
  for (int64_t i = 0; i < read; ++i) {
    captions.push_back(images->captions(base::spread_index(i, read, images->size())));
    base::require(!captions.back().empty(),
                  "--captions is missing; the network takes text, and {} has no captions",
                  training.data);
  }
  return choose_captions(captions, count, seed);
}

}  // namespace uvic::app
