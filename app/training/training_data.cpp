#include "app/training/training_data.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "app/runs/processes.h"
#include "app/scoring/score_tokens.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process_group.h"
#include "data/captioned_set.h"
#include "data/feature_folders.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "data/latent_store.h"
#include "data/tokenized_captions.h"

namespace uvic::app {
namespace {

/// Whether there are labels, and room for them.
void check_labels(const RunConfig& options, const data::Dataset& dataset) {
  const auto classes = dataset.class_count();
  base::require(
      classes > 0,
      fmt::format(
          "{}: no labels, but model.num_classes is {}; give a folder per class or set it to -1",
          options.data,
          options.model.input().num_classes));
  const int64_t real = options.model.input().num_classes - (options.label_dropout > 0 ? 1 : 0);
  base::require(
      classes <= real,
      fmt::format("{}: {} classes, but model.num_classes {} leaves room for {}{}",
                  options.data,
                  classes,
                  options.model.input().num_classes,
                  real,
                  options.label_dropout > 0 ? " besides the null class of label_dropout" : ""));
  if (classes < real)
    say_note(
        fmt::format("{} has {} classes, model.num_classes {} has room for {}; the rest is never "
                    "trained nor sampled",
                    options.data,
                    classes,
                    options.model.input().num_classes,
                    real));
}

/// Whether examples have the shapes that the network takes.
void check_format(const RunConfig& options, const data::ExampleFormat& format) {
  const auto input = options.model.input();
  base::require(
      format.is_latent || !options.encoders.is_latent() || !options.encoders.autoencoder.empty(),
      "{}: holds images, and the network works on latents; give --autoencoder, or encode "
      "the images first with uvic encode",
      options.data);
  if (format.is_latent) {
    base::require(options.encoders.is_latent(),
                  "{}: holds latents; give the --latent_scale of the network (0.18215 in the "
                  "official ImageNet models, 0.2301 in those of MS-COCO)",
                  options.data);
    base::require(format.channels == 2 * input.channels && format.size == input.size,
                  "{}: latents of {} x {} x {}, the network takes {} x {} x {} (model.in_chans, "
                  "model.img_size)",
                  options.data,
                  format.channels / 2,
                  format.size,
                  format.size,
                  input.channels,
                  input.size,
                  input.size);
    base::require(!options.flip,
                  "--flip: the mirror image of a latent is not that of its image; pass --flip "
                  "false and encode mirrored copies instead");
  }
  if (!input.takes_context()) return;
  if (format.context_dim == 0 && format.context_tokens > 0) return;  // a text encoder makes them
  base::require(
      format.context_dim > 0,
      "{}: no captions and no context features, but model.clip_dim is {}; give a set with "
      "captions",
      options.data,
      input.context_dim);
  base::require(
      format.context_tokens == input.context_tokens && format.context_dim == input.context_dim,
      "{}: contexts of {} x {}, the network takes {} x {} (model.num_clip_token, model.clip_dim); "
      "they are of another text encoder",
      options.data,
      format.context_tokens,
      format.context_dim,
      input.context_tokens,
      input.context_dim);
}

void check_data(const RunConfig& options, const data::Dataset& dataset) {
  base::require(dataset.size() > 0, "{}: holds no image", options.data);
  check_format(options, dataset.format());
  if (options.model.input().num_classes > 0) check_labels(options, dataset);
}

/// What uvic encode says of the encoders of a set; null where another program made it.
nlohmann::json made_from(const RunConfig& options, const data::Dataset& dataset) {
  if (const auto* store = dynamic_cast<const data::LatentStore*>(&dataset))
    return store->info().made_from;
  const auto record = std::filesystem::path(options.data) / data::kFolderRecord;
  std::error_code ignored;
  if (!dataset.format().is_latent || !std::filesystem::exists(record, ignored)) return {};
  const auto object = formats::read_json(record);
  return object.is_object() ? object.value("made_from", nlohmann::json()) : nlohmann::json();
}

/// A text of what made_from() gives; empty where it says nothing.
std::string recorded(const RunConfig& options, const nlohmann::json& from, const char* pointer) {
  if (!from.is_object()) return "";
  const auto value = formats::naming_file(options.data, [&] {
    return from.value(nlohmann::json::json_pointer(pointer), nlohmann::json());
  });
  return value.is_string() ? value.get<std::string>() : "";
}

/// Another file may hold the same weights, so it is a note.
void note_other_autoencoder(const RunConfig& options,
                            const nlohmann::json& from,
                            const LatentSpace& latent) {
  const auto encoded = recorded(options, from, "/autoencoder/autoencoder_sha256");
  if (encoded.empty() || encoded == latent.record()["autoencoder_sha256"]) return;
  say_note(
      fmt::format("{} was encoded by another file than --autoencoder {}, which decodes the grids",
                  options.data,
                  options.encoders.autoencoder));
}

/// The text encoder that a run keeps for its prompts is that of its contexts.
void check_text_encoder(const RunConfig& options, const nlohmann::json& from) {
  const auto& given = options.encoders.text_encoder;
  const auto encoded = recorded(options, from, "/text/text_encoder");
  if (given.empty() || encoded.empty()) return;
  base::require((given == kWordEncoder) == (encoded == kWordEncoder),
                "--text_encoder {}: the contexts of {} were encoded by {}",
                given,
                options.data,
                encoded);
  if (given == kWordEncoder) return;
  const auto text =
      open_text_encoder(options.encoders, options.model.input(), torch::kCPU, torch::kFloat32);
  if (recorded(options, from, "/text/text_encoder_sha256") == text->record()["text_encoder_sha256"])
    return;
  say_note(
      fmt::format("the contexts of {} were encoded by another file than --text_encoder {}, "
                  "which encodes prompts",
                  options.data,
                  given));
}

bool has_captions(const data::Dataset& dataset) {
  return dataset.size() > 0 && dataset.format().context_tokens == 0 && !dataset.captions(0).empty();
}

/// The context of the empty caption: the set's, or else the text encoder's.
torch::Tensor empty_context(const data::Dataset& dataset, const TextEncoder* text) {
  const auto of_set = dataset.empty_context();
  if (of_set.defined() || !text) return of_set;
  return text->encode(std::vector<std::string>{""})[0].clone();
}

}  // namespace

TrainingData open_training_data(const RunConfig& config, torch::Device device) {
  TrainingData opened;
  const auto input = config.model.input();
  const auto compute = base::compute_dtype(base::resolve_precision(config.precision, device));
  auto& inputs = opened.inputs;
  if (!config.encoders.autoencoder.empty())
    inputs.latent = open_latent_space(config.encoders, input, device, compute);
  auto options = config.dataset;
  options.image_size = image_size_of(config.encoders, input);
  opened.dataset = input.takes_context() ? data::open_captioned_dataset(config.data, options)
                                         : data::open_dataset(config.data, options);

  if (input.takes_context() && has_captions(*opened.dataset)) {
    inputs.text = open_text_encoder(config.encoders, input, device, compute);
    opened.dataset = std::make_unique<data::TokenizedCaptions>(
        std::move(opened.dataset), input.context_tokens, [text = inputs.text](const auto& caption) {
          return text->tokenize(caption);
        });
  }
  check_data(config, *opened.dataset);
  const auto from = made_from(config, *opened.dataset);
  if (inputs.latent) note_other_autoencoder(config, from, *inputs.latent);
  if (input.takes_context()) check_text_encoder(config, from);
  if (input.takes_context()) {
    const auto empty = empty_context(*opened.dataset, inputs.text.get());
    if (empty.defined()) inputs.empty_context = empty.to(device);
  }
  return opened;
}

std::unique_ptr<data::TokenSource> open_training_sequences(const RunConfig& config) {
  const auto input = config.model.input();
  auto source = data::open_token_source(
      config.data,
      config.tokens,
      {data::TokenSplit::kTrain, input.length, input.vocabulary, config.encoders.tokenizer});
  check_token_source(
      input, *source, {config.data, config.encoders.tokenizer}, /*allow_longer=*/false);
  return source;
}

}  // namespace uvic::app
