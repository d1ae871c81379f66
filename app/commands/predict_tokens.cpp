#include "app/commands/predict_tokens.h"

#include <utility>
#include <vector>

#include "app/runs/sequence_length.h"
#include "app/runs/sequence_tokenizer.h"
#include "base/check.h"
#include "base/tensor_text.h"
#include "data/formats/atomic_file.h"
#include "data/formats/npy.h"
#include "data/formats/npy_integers.h"
#include "data/tokens/open_tokenizer.h"

namespace uvic::app {
namespace {

constexpr size_t kLargestText = size_t{1} << 26;

torch::Tensor read_tokens(const char* flag, const std::string& path) {
  const auto numbers = formats::read_npy_integers(formats::MappedFile::open(path));
  const auto& array = numbers.bits;
  base::require(
      at::isIntegralType(array.scalar_type(), false) && array.dim() == 2 && array.numel() > 0,
      "--{} {}: {} {}, want integers [batch, length]",
      flag,
      path,
      base::dtype_text(array.scalar_type()),
      base::shape_text(array.sizes()));
  return numbers.wide().contiguous();
}

/// The tokens after each of `x`, of which some must count.
torch::Tensor read_targets(const std::string& path, const torch::Tensor& x, int64_t vocabulary) {
  const auto target = read_tokens("target", path);
  const auto highest = target.max().item<int64_t>();
  base::require(target.sizes() == x.sizes(),
                "--target {}: {}, want {} as the input",
                path,
                base::shape_text(target.sizes()),
                base::shape_text(x.sizes()));
  base::require(highest < vocabulary,
                "--target {}: token {}, the network has 0 to {}",
                path,
                highest,
                vocabulary - 1);
  base::require(highest >= 0, "--target {}: no token counts, all are negative", path);
  return target;
}

/// The text of --input as one sequence [1, length], by the tokenizer of the network in `file`.
torch::Tensor tokens_of_text(const PredictOptions& options,
                             const model::NetworkInput& input,
                             const WeightsFile& file) {
  const auto tokenizer = data::open_tokenizer(options.tokenizer);
  require_tokenizer_of(input, *tokenizer, options.tokenizer, data_fingerprint_in(file.metadata));
  const auto tokens = data::encode_prompt(
      *tokenizer, formats::read_file(options.input, kLargestText), options.input);
  base::require(
      !tokens.empty(), "--input {}: an empty text, no token to predict from", options.input);
  return torch::tensor(tokens, torch::kInt64).unsqueeze(0);
}

}  // namespace

PredictEvaluation evaluate_tokens(const PredictOptions& options,
                                  const model::SequenceNetworkPtr& network,
                                  const WeightsFile& file,
                                  torch::Device device) {
  for (const auto& [flag, value] : {std::pair("timesteps", &options.timesteps),
                                    {"labels", &options.labels},
                                    {"context", &options.context}})
    base::require(value->empty(), "--{}: the network takes tokens only", flag);
  const auto vocabulary = network->input().vocabulary;
  const auto x = options.tokenizer.empty() ? read_tokens("input", options.input)
                                           : tokens_of_text(options, network->input(), file);
  if (!options.tokens_output.empty()) formats::write_npy(options.tokens_output, x);
  const auto low = x.min().item<int64_t>(), high = x.max().item<int64_t>();
  base::require(low >= 0 && high < vocabulary,
                "--input {}: token {}, the network has 0 to {}",
                options.input,
                low < 0 ? low : high,
                vocabulary - 1);
  torch::Tensor target;
  if (!options.target.empty()) target = read_targets(options.target, x, vocabulary);
  note_length(*network, x.size(1), "--input " + options.input);
  PredictEvaluation result;
  if (options.cache_step == 0) {
    result.output = network->forward(x.to(device), {}, {});
  } else {
    const auto memory = network->new_memory();
    std::vector<torch::Tensor> pieces;
    for (const auto& piece : x.to(device).split(options.cache_step, 1))
      pieces.push_back(network->extend(piece, *memory));
    result.output = torch::cat(pieces, 1);
  }
  if (target.defined())
    result.loss = model::token_loss(result.output, target.to(device), /*sum=*/false);
  return result;
}

}  // namespace uvic::app
