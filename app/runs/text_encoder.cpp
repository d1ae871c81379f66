#include "app/runs/text_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "app/runs/processes.h"
#include "base/check.h"
#include "base/position_random.h"
#include "base/text_format.h"
#include "data/bpe_tokenizer.h"
#include "data/formats/sha256.h"
#include "data/word_tokens.h"
#include "model/latent/clip_text.h"

namespace uvic::app {
namespace {

constexpr size_t kShownOfText = 60;  ///< bytes of a prompt or caption in a note

/// How a text begins, on one line.
std::string beginning_of(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char letter) { return letter == '\n' || letter == '\r'; }, ' ');
  return base::cut_to(text, kShownOfText);
}

/// CLIP's text encoder and tokenizer.
class ClipEncoder : public TextEncoder {
 public:
  ClipEncoder(const EncoderConfig& config,
              int64_t tokens,
              torch::Device device,
              torch::ScalarType compute)
      : text_(open_clip(config.text_encoder)),
        tokenizer_(data::BpeTokenizer::open(tokenizer_path(config))),
        tokens_(tokens > 0 ? tokens : text_.config().positions) {
    base::require(text_.config().positions >= tokens_,
                  "--text_encoder {}: takes {} tokens, the network {} (model.num_clip_token)",
                  config.text_encoder,
                  text_.config().positions,
                  tokens_);
    base::require(text_.config().vocabulary >= tokenizer_.size(),
                  "--tokenizer {}: {} ids, the text encoder knows {}; they do not belong together",
                  tokenizer_path(config).string(),
                  tokenizer_.size(),
                  text_.config().vocabulary);
    text_.to(device, compute);
    device_ = device;
  }

  int64_t tokens() const override { return tokens_; }
  int64_t width() const override { return text_.config().width; }
  std::vector<int64_t> tokenize(const std::string& text, std::string* note) const override {
    bool cut = false;
    auto ids = tokenizer_.padded(text, tokens_, &cut);
    if (cut && note)
      *note = fmt::format(
          "\"{}\": longer than {} tokens; its end is left out", beginning_of(text), tokens_);
    return ids;
  }
  std::vector<std::string> pieces(const std::string& text) const override {
    const auto ids = tokenize(text, nullptr);
    auto texts = tokenizer_.texts_of(ids);
    // Start, end and, of the same id or its own, padding.
    const auto& vocabulary = tokenizer_.vocabulary();
    for (size_t i = 0; i < ids.size(); ++i)
      if (ids[i] == vocabulary.start || ids[i] == vocabulary.end || ids[i] == vocabulary.pad)
        texts[i] = "";
    return texts;
  }
  torch::Tensor encode(const torch::Tensor& ids) const override {
    return text_.encode(ids.to(device_)).to(torch::kFloat32);
  }
  nlohmann::json record() const override {
    return {{"text_encoder", text_.path().string()},
            {"text_encoder_sha256", formats::sha256_file(text_.path())},
            {"tokenizer", tokenizer_.describe()},
            {"tokens", tokens_},
            {"width", width()}};
  }

 private:
  static model::ClipText open_clip(const std::string& path) {
    std::vector<std::string> notes;
    auto text = model::ClipText::open(path, &notes);
    for (const auto& note : notes) say_note(fmt::format("{}: {}", path, note));
    return text;
  }
  static std::filesystem::path tokenizer_path(const EncoderConfig& config) {
    if (!config.tokenizer.empty()) return config.tokenizer;
    std::error_code ignored;
    const std::filesystem::path encoder(config.text_encoder);
    const bool folder = std::filesystem::is_directory(encoder, ignored);
    const auto next_to = folder ? encoder : encoder.parent_path();
    try {
      data::read_bpe_vocabulary(next_to);
    } catch (const std::runtime_error&) {
      throw std::invalid_argument(
          fmt::format("--tokenizer is missing; there is none next to the text encoder {}",
                      config.text_encoder));
    }
    return next_to;
  }

  model::ClipText text_;
  data::BpeTokenizer tokenizer_;
  int64_t tokens_;
  torch::Device device_ = torch::kCPU;
};

/// A fixed vector of normals for each word, whose key is the word's id; the empty place is 0.
class WordEncoder : public TextEncoder {
 public:
  WordEncoder(int64_t tokens, int64_t width, torch::Device device)
      : tokens_(tokens), width_(width), device_(device) {}

  int64_t tokens() const override { return tokens_; }
  int64_t width() const override { return width_; }
  std::vector<int64_t> tokenize(const std::string& text, std::string* note) const override {
    std::vector<std::string> unknown;
    bool cut = false;
    auto ids = data::word_tokens(text, tokens_, &unknown, &cut);
    if (note && !unknown.empty())
      *note = fmt::format("\"{}\": the word \"{}\" is in no caption of the procedural set",
                          beginning_of(text),
                          beginning_of(unknown.front()));
    if (note && cut)
      *note = fmt::format(
          "\"{}\": longer than {} words; its end is left out", beginning_of(text), tokens_);
    return ids;
  }
  std::vector<std::string> pieces(const std::string& text) const override {
    auto words = data::words_of(text);
    words.resize(static_cast<size_t>(tokens_));
    return words;
  }
  torch::Tensor encode(const torch::Tensor& ids) const override {
    constexpr uint64_t kSeed = 0x776f726473;  // "words"
    const auto places = ids.to(device_).contiguous();
    const auto vectors = base::PositionRandom(kSeed, places.flatten())
                             .normals(base::RandomUse::kNoise, {width_})
                             .view({ids.size(0), ids.size(1), width_});
    return vectors * (places != 0).unsqueeze(-1);
  }
  nlohmann::json record() const override {
    return {{"text_encoder", kWordEncoder}, {"tokens", tokens_}, {"width", width_}};
  }

 private:
  int64_t tokens_, width_;
  torch::Device device_;
};

}  // namespace

torch::Tensor TextEncoder::encode(const std::vector<std::string>& texts) const {
  std::vector<torch::Tensor> ids;
  for (const auto& text : texts) ids.push_back(torch::tensor(tokenize(text), torch::kInt64));
  return encode(torch::stack(ids));
}

std::shared_ptr<const TextEncoder> open_text_encoder(const EncoderConfig& config,
                                                     const model::NetworkInput& input,
                                                     torch::Device device,
                                                     torch::ScalarType compute) {
  constexpr int64_t kWords = 16, kWordWidth = 64;
  base::require(
      !config.text_encoder.empty(),
      "--text_encoder is missing; prompts and captions need it: CLIP's weights, or words for the "
      "embedded one");
  const bool free = input.context_tokens == 0;
  if (config.text_encoder == kWordEncoder)
    return std::make_shared<WordEncoder>(
        free ? kWords : input.context_tokens, free ? kWordWidth : input.context_dim, device);
  auto encoder = std::make_shared<ClipEncoder>(config, input.context_tokens, device, compute);
  base::require(
      free || encoder->width() == input.context_dim,
      "--text_encoder {}: features of width {}, the network takes {} (model.clip_dim); it "
      "was trained with another text encoder",
      config.text_encoder,
      encoder->width(),
      input.context_dim);
  return encoder;
}

}  // namespace uvic::app
