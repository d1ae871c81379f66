#include "app/runs/public_metadata.h"

#include <cctype>
#include <filesystem>

#include "app/runs/latent_space.h"
#include "app/runs/text_encoder.h"

namespace uvic::app {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Whether an absolute path begins at `at`.
bool begins_path(const std::string& text, size_t at) {
  const char before = at > 0 ? text[at - 1] : ' ';
  const bool is_inside = is_word(before) || before == '/' || before == '.' || before == ':' ||
                         before == '\\' || before == '-';
  const auto next = [&](size_t i) { return at + i < text.size() ? text[at + i] : ' '; };
  if (is_inside && !(before == ':' && at > 1 && !is_word(text[at - 2]))) return false;
  if (text[at] == '/') return is_word(next(1)) || next(1) == '.' || next(1) == '-';
  if (text[at] == '~') return next(1) == '/';
  return std::isalpha(static_cast<unsigned char>(text[at])) && next(1) == ':' && next(2) == '\\';
}

bool ends_path(char c) {
  return std::isspace(static_cast<unsigned char>(c)) || c == '"' || c == '\'' || c == ',' ||
         c == ';' || c == ')' || c == ']' || c == '}';
}

}  // namespace

RunConfig without_paths(RunConfig config) {
  auto& encoders = config.encoders;
  for (auto* path :
       {&config.out, &config.init, &config.score_ref, &config.inception, &encoders.tokenizer})
    path->clear();
  if (config.data.rfind("procedural", 0) != 0) config.data.clear();
  if (encoders.autoencoder != kEmbeddedAutoencoder) encoders.autoencoder.clear();
  if (encoders.text_encoder != kWordEncoder) encoders.text_encoder.clear();
  if (config.score_extractor != "inception") config.score_extractor = RunConfig().score_extractor;
  config.init_optimizer = RunConfig().init_optimizer;
  return config;
}

std::string without_paths(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (!begins_path(text, at)) {
      result += text[at++];
      continue;
    }
    size_t end = at;
    while (end < text.size() && !ends_path(text[end])) ++end;
    auto path = text.substr(at, end - at);
    while (path.size() > 1 && (path.back() == '/' || path.back() == '\\')) path.pop_back();
    result += path.substr(path.find_last_of("/\\") + 1);
    at = end;
  }
  return result;
}

std::map<std::string, std::string> public_metadata(std::map<std::string, std::string> metadata) {
  metadata.erase("uvic.data");
  metadata.erase("uvic.config");
  for (auto& [key, value] : metadata)
    if (key != "uvic.class_names") value = without_paths(value);
  return metadata;
}

}  // namespace uvic::app
