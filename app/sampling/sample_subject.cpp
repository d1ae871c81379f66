#include "app/sampling/sample_subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <utility>

#include "app/sampling/image_grid.h"
#include "base/check.h"
#include "base/list_text.h"
#include "data/pixel_range.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

constexpr uint64_t kImagesByDefault = 64, kImagesOfOnePrompt = 4;

}  // namespace

GenerationMode mode_of(const SubjectOptions& options) {
  return !options.invert.empty() ? GenerationMode::kInvert
         : !options.mask.empty() ? GenerationMode::kInpaint
         : !options.init.empty() ? GenerationMode::kImageToImage
                                 : GenerationMode::kFromNoise;
}

SampleSubject::SeedPair SampleSubject::parse_interpolation(const std::string& text) {
  SeedPair pair{};
  const auto dash = text.find('-');
  const auto whole = [](const std::string& word, uint64_t& value) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return !base::has_leading_zero(word) && error == std::errc() &&
           end == word.data() + word.size();
  };
  base::require(dash != std::string::npos && whole(text.substr(0, dash), pair.from) &&
                    whole(text.substr(dash + 1), pair.to) && pair.from != pair.to,
                "--interpolate {}: wants two different seeds, such as 3-17",
                text);
  SeedList::parse(fmt::format("{},{}", pair.from, pair.to));  // throws beyond the last seed
  return pair;
}

void check_text(const SubjectOptions& options, const model::NetworkInput& input) {
  base::require(input.takes_context() || options.prompts.empty(),
                "--prompt: the network takes no text (model.clip_dim is 0){}",
                input.takes_classes() ? "; it has classes, see --labels" : "");
  base::require(!input.takes_context() || !options.prompts.empty(),
                "--prompt is missing; the network is conditioned on text, and --prompt \"\" is the "
                "empty one");
}

SampleEncoders open_encoders(const SampleSource& source,
                             torch::Device device,
                             torch::ScalarType compute,
                             GenerationSettings& settings) {
  const auto input = source.training.model.input();
  const auto& config = source.training.encoders;
  SampleEncoders encoders;
  settings.latent = open_latent_space(config, input, device, compute);
  base::require(!settings.latent || settings.latent->shape().out_channels == 3,
                "--autoencoder {}: gives images of {} channels, images have 3",
                config.autoencoder,
                settings.latent ? settings.latent->shape().out_channels : 0);
  encoders.image_size = generated_image_size(input, settings.latent.get());
  if (!input.takes_context()) return encoders;
  encoders.text = open_text_encoder(config, input, device, compute);
  settings.empty_context = encoders.text->encode(std::vector<std::string>{""})[0].clone();
  return encoders;
}

SampleSubject::SampleSubject(SubjectOptions options,
                             const SampleSource& source,
                             int64_t image_size,
                             std::shared_ptr<const TextEncoder> text)
    : options_(std::move(options)), text_(std::move(text)) {
  check_text(options_, source.training.model.input());
  note_prompts();
  classes_ = chosen_classes(options_.labels, source);
  const auto& path = options_.invert.empty() ? options_.init : options_.invert;
  if (!path.empty()) {
    given_.emplace(path, image_size);
    if (options_.labels.empty() && !classes_.empty()) take_classes_of_images(path, source);
  }
  if (!options_.mask.empty()) read_masks(image_size);
  if (!options_.interpolate.empty()) {
    ends_ = parse_interpolation(options_.interpolate);
    base::require(options_.labels.empty() || classes_.size() <= 1,
                  "--labels: all frames of --interpolate show one class");
    base::require(options_.prompts.size() <= 1, "--prompt: all frames of --interpolate show one");
    if (!classes_.empty()) classes_ = {classes_[ends_->from % classes_.size()]};
  }
  ids_ = chosen_ids();
}

/// Says what a text encoder has to say of the prompts.
void SampleSubject::note_prompts() const {
  if (!text_) return;
  constexpr size_t kMostNotes = 5;
  size_t notes = 0;
  for (const auto& prompt : options_.prompts) {
    std::string note;
    text_->tokenize(prompt, &note);
    if (note.empty() || ++notes > kMostNotes) continue;
    fmt::print(stderr, "note: {}\n", note);
  }
  if (notes > kMostNotes)
    fmt::print(stderr, "note: and {} more prompts like these\n", notes - kMostNotes);
}

std::string SampleSubject::prompt(uint64_t id) const {
  const auto& prompts = options_.prompts;
  return prompts.empty() ? "" : prompts[id % prompts.size()];
}

/// [N, L, D]; a prompt that several images have is encoded once.
torch::Tensor SampleSubject::contexts_of(const std::vector<uint64_t>& ids) const {
  if (!text_) return {};
  std::map<std::string, torch::Tensor> encoded;
  std::vector<torch::Tensor> contexts;
  for (const auto id : ids) {
    auto& context = encoded[prompt(id)];
    if (!context.defined()) context = text_->encode(std::vector<std::string>{prompt(id)})[0];
    contexts.push_back(context);
  }
  return torch::stack(contexts);
}

SeedList SampleSubject::chosen_ids() const {
  if (ends_) return SeedList::first_numbers(static_cast<uint64_t>(options_.frames));
  if (!options_.seeds.empty()) return SeedList::parse(options_.seeds);
  if (!given_ && has_prompts() && options_.prompts.size() < kImagesByDefault)
    return SeedList::first_numbers(options_.prompts.size() == 1 ? kImagesOfOnePrompt
                                                                : options_.prompts.size());
  return SeedList::first_numbers(
      given_ ? std::min<uint64_t>(kImagesByDefault, static_cast<uint64_t>(given_->size()))
             : kImagesByDefault);
}

GenerationRequest SampleSubject::request(const std::vector<uint64_t>& ids) const {
  GenerationRequest request;
  request.seeds = ids;
  if (ends_) {
    request.seeds.assign(ids.size(), ends_->from);
    request.target_seeds.assign(ids.size(), ends_->to);
    for (const auto id : ids)
      request.fractions.push_back(static_cast<double>(id) /
                                  static_cast<double>(options_.frames - 1));
  }
  request.labels = labels_in_turn(ids, classes_);
  request.contexts = contexts_of(ids);
  std::vector<torch::Tensor> images, masks;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (given_) {
      const auto image = given_->of_seed(ids[i]);
      images.push_back(data::to_network_range(image.planes));
      if (!class_of_label_.empty())
        request.labels[i] = class_of_label_.at(static_cast<size_t>(image.label));
    }
    if (masks_) masks.push_back(mask_of(ids[i]));
  }
  if (given_) request.input_images = torch::stack(images);
  if (masks_) request.mask = torch::stack(masks);
  return request;
}

void SampleSubject::add_to(nlohmann::json& record) const {
  record["classes"] = class_of_label_.empty() ? nlohmann::json(classes_)
                                              : nlohmann::json("those of the given pictures");
  if (has_prompts()) record["prompts"] = options_.prompts;
  if (given_) {
    const bool inverts = mode() == GenerationMode::kInvert;
    const std::string name = inverts ? "invert" : "init";
    record[name] = inverts ? options_.invert : options_.init;
    record[name + "_fingerprint"] = given_->fingerprint();
    if (!inverts) record["strength"] = options_.strength;
  }
  if (masks_) {
    record["mask"] = options_.mask;
    record["mask_fingerprint"] = masks_->fingerprint();
    record["repeats"] = options_.repeats;
  }
  if (ends_) {
    record["interpolate"] = options_.interpolate;
    record["interpolate_frames"] = options_.frames;
  }
}

formats::Image SampleSubject::given(uint64_t id) const {
  return to_images(given_->of_seed(id).planes.unsqueeze(0))[0];
}

formats::Image SampleSubject::kept(uint64_t id) const {
  const auto x = given_->of_seed(id).planes.to(torch::kFloat32);  // [3, S, S]
  const auto mask = mask_of(id);                                  // [1, S, S]
  const auto paled = x * (1 - mask) + (0.3 * x + 0.7 * 255) * mask;
  return to_images(paled.to(torch::kUInt8).unsqueeze(0))[0];
}

// Given images keep the class that their folder names where the network knows it; else they take
// the null class, which says nothing.
void SampleSubject::take_classes_of_images(const std::string& path, const SampleSource& source) {
  for (const auto& name : given_->class_names()) {
    const auto& known = source.class_names;
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      class_of_label_.clear();
      break;
    }
    class_of_label_.push_back(found - known.begin());
  }
  if (!class_of_label_.empty()) return;
  base::require(has_null_class(source.training),
                "{}: its folders do not have the names of the network's classes, and the network "
                "has no null class; give --labels",
                path);
  classes_ = {source.training.model.input().num_classes - 1};
}

void SampleSubject::read_masks(int64_t image_size) {
  const auto& path = options_.mask;
  masks_.emplace(path, image_size);
  base::require(masks_->size() == 1 || masks_->size() == given_->size(),
                "--mask {}: {} masks for {} images; give one, or one for each",
                path,
                masks_->size(),
                given_->size());
  base::require(masks_->size() != 1 || mask_of(0).max().item<double>() > 0,
                "--mask {}: black all over; what is white is generated anew",
                path);
}

torch::Tensor SampleSubject::mask_of(uint64_t id) const {
  return masks_->of_seed(id).planes.to(torch::kFloat32).mean(0, /*keepdim=*/true) / 255;
}

}  // namespace uvic::app
