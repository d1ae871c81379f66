#include "model/decoder_lm/decoder_lm_transfer.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/tensor_text.h"
#include "base/torch.h"

namespace uvic::model {
namespace {

void check_sizes(const DecoderLMConfig& from, const DecoderLMConfig& to) {
  const auto same = [](const char* name, int64_t a, int64_t b) {
    base::require(
        a == b, "model.decoder_lm.{} is {}, the weights to start from have {}", name, b, a);
  };
  same("hidden_size", from.hidden_size, to.hidden_size);
  same("num_hidden_layers", from.num_hidden_layers, to.num_hidden_layers);
  same("num_attention_heads", from.num_attention_heads, to.num_attention_heads);
}

void add_warnings(const DecoderLMConfig& from, const DecoderLMConfig& to, WeightTransfer& result) {
  if (from.attention != to.attention || from.placement != to.placement)
    result.warnings.push_back(fmt::format("attention was {} in {}, is {} in {}",
                                          from.attention,
                                          from.placement,
                                          to.attention,
                                          to.placement));
  if (from.rope_theta != to.rope_theta || from.positions != to.positions)
    result.warnings.push_back("positions are computed differently");
}

}  // namespace

WeightTransfer transfer_decoder_lm(const TransferInput& input) {
  using Fate = TransferredTensor::Fate;
  if (input.to.kind == "decoder_lm") check_sizes(input.from.decoder_lm, input.to.decoder_lm);

  WeightTransfer result;
  for (const auto& [name, fresh] : input.fresh) {
    const auto found = input.source.find(name);
    const bool fits = found != input.source.end() && found->second.sizes() == fresh.sizes();
    result.tensors.emplace(name, fits ? found->second.to(fresh.scalar_type()) : fresh);
    const auto note =
        found == input.source.end() || fits
            ? std::string()
            : fmt::format(
                  "{} instead of {}", base::shape_text(fresh), base::shape_text(found->second));
    result.fates.push_back({name, fits ? Fate::kCopied : Fate::kFresh, note});
  }
  for (const auto& [name, tensor] : input.source)
    if (!input.fresh.count(name)) result.fates.push_back({name, Fate::kDropped, ""});
  if (input.to.kind == "decoder_lm")
    add_warnings(input.from.decoder_lm, input.to.decoder_lm, result);
  return result;
}

}  // namespace uvic::model
