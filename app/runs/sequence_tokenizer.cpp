#include "app/runs/sequence_tokenizer.h"

#include "app/runs/run_identity.h"
#include "base/check.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

constexpr int64_t kMostPadding = 1024;

}  // namespace

std::string tokenizer_in(const std::string& fingerprint) {
  for (const auto* form : {" tokenizer.json ", " sentencepiece "})
    if (const auto at = fingerprint.rfind(form); at != std::string::npos)
      return fingerprint.substr(at + 1);
  return "";
}

void require_tokenizer_of(const model::NetworkInput& input,
                          const data::Tokenizer& tokenizer,
                          const std::string& file,
                          const std::string& trained_on) {
  const auto own = tokenizer.fingerprint();
  if (own.empty()) return;
  const auto size = tokenizer.vocabulary();
  base::require(
      size <= input.vocabulary && input.vocabulary - size < kMostPadding,
      "{}: a tokenizer of {} tokens, the network has {}; give its own --tokenizer (or, to "
      "train, --model.decoder_lm.vocab_size {})",
      file,
      size,
      input.vocabulary,
      size);
  const auto trained = tokenizer_in(trained_on);
  base::require(trained.empty() || trained == own,
                "{}: not the tokenizer that the network was trained with ({} now, {} then); give "
                "that --tokenizer",
                file,
                own,
                trained);
}

std::string data_fingerprint_in(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find("uvic.data_fingerprint");
  return found == metadata.end() ? "" : found->second;
}

std::string data_fingerprint_of(const std::filesystem::path& weights) {
  if (weights.extension() != ".safetensors") return "";
  return data_fingerprint_in(read_metadata(weights));
}

}  // namespace uvic::app
