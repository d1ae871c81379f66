#include "app/commands/predict_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "data/bpe_tokenizer.h"
#include "data/caption_list.h"
#include "data/formats/npy.h"
#include "data/formats/output_file.h"
#include "data/formats/stored_tensors.h"
#include "model/kernel_choice.h"
#include "model/latent/clip_text.h"

namespace uvic::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTextBatch = 64;  // texts that go through the network at once
constexpr size_t kNamed = 5;        // captions that a note names

void check_options(const PredictOptions& options) {
  base::check_fields(options);
  options.refuse_inputs_of_others("a text encoder");
  base::require(options.input.empty() != options.captions.empty(),
                "predict: {} is a text encoder; give --input tokens.npy, or --captions FILE and "
                "--tokenizer FILE",
                options.weights);
  base::require(options.captions.empty() == options.tokenizer.empty(),
                "--captions and --tokenizer belong together; give both");
  base::require(options.tokens_output.empty() || !options.captions.empty(),
                "--tokens_output: of which captions? give --captions and --tokenizer");
  base::require(!options.output.empty(), "--output is missing; give the array to write");
  for (const auto& [flag, path] :
       {std::pair("output", &options.output), std::pair("tokens_output", &options.tokens_output)})
    base::require(path->empty() || fs::path(*path).extension() == ".npy",
                  "--{} {}: want a name ending in .npy",
                  flag,
                  *path);
}

/// Tokens [batch, tokens] that the network takes.
torch::Tensor read_tokens(const std::string& path, const model::ClipTextConfig& config) {
  const auto array = formats::read_npy(path);
  base::require(at::isIntegralType(array.scalar_type(), false) && array.dim() == 2 &&
                    array.size(0) > 0 && array.size(1) > 0 && array.size(1) <= config.positions,
                "--input {}: {} {}, want integers [batch, 1 to {}], the tokens of a text each",
                path,
                base::dtype_text(array.scalar_type()),
                base::shape_text(array.sizes()),
                config.positions);
  const auto ids = array.to(torch::kInt64).contiguous();
  const auto low = ids.min().item<int64_t>(), high = ids.max().item<int64_t>();
  base::require(low >= 0 && high < config.vocabulary,
                "--input {}: token {}, the vocabulary of {} has 0 to {}",
                path,
                low < 0 ? low : high,
                "the text encoder",
                config.vocabulary - 1);
  return ids;
}

/// Reports captions that are longer than the network takes.
void report_cut(const std::vector<size_t>& cut, size_t captions, int64_t length) {
  if (cut.empty()) return;
  const auto named = std::min(cut.size(), kNamed);
  fmt::print(stderr,
             "{} of {} captions have more than {} tokens and were cut: caption {}{}\n",
             cut.size(),
             captions,
             length - 2,
             fmt::join(cut.begin(), cut.begin() + static_cast<std::ptrdiff_t>(named), ", "),
             cut.size() > named ? ", ..." : "");
}

torch::Tensor tokens_of_captions(const PredictOptions& options,
                                 const model::ClipTextConfig& config) {
  const auto tokenizer = data::BpeTokenizer::open(options.tokenizer);
  base::require(tokenizer.size() <= config.vocabulary,
                "--tokenizer {}: {} ids, the text encoder has {}",
                options.tokenizer,
                tokenizer.size(),
                config.vocabulary);
  const auto captions = data::read_caption_list(options.captions);
  const auto length = config.positions;
  auto ids = torch::empty({static_cast<int64_t>(captions.size()), length}, torch::kInt64);
  std::vector<size_t> cut;
  for (size_t i = 0; i < captions.size(); ++i) {
    bool is_cut = false;
    const auto row = tokenizer.padded(captions[i], length, &is_cut);
    std::copy(row.begin(), row.end(), ids.data_ptr<int64_t>() + static_cast<int64_t>(i) * length);
    if (is_cut) cut.push_back(i + 1);
  }
  report_cut(cut, captions.size(), length);
  return ids;
}

}  // namespace

bool weights_are_clip_text(const PredictOptions& options) {
  if (options.weights.empty()) return false;
  try {
    return model::is_clip_text(options.weights);
  } catch (const std::exception&) {
    return false;  // whoever reads it as a network says why
  }
}

PredictResult predict_text(const PredictOptions& options) {
  check_options(options);
  base::set_up_process(options.threads);
  model::use_fused_kernels(options.kernels == "fused");
  const torch::Device device(base::choose_device(options.device));
  for (const auto* path : {&options.output, &options.tokens_output})
    if (!path->empty()) formats::check_output_file(*path, /*overwrite=*/true);
  std::vector<std::string> notes;
  auto clip = model::ClipText::open(options.weights, &notes);
  for (const auto& note : notes) fmt::print(stderr, "{}\n", note);
  const auto ids = options.captions.empty() ? read_tokens(options.input, clip.config())
                                            : tokens_of_captions(options, clip.config());
  if (!options.tokens_output.empty()) formats::write_npy(options.tokens_output, ids);
  clip.to(device,
          options.precision == "fp64"   ? torch::kFloat64
          : options.precision == "bf16" ? torch::kBFloat16
                                        : torch::kFloat32);
  std::vector<torch::Tensor> parts;
  for (const auto& batch : ids.split(kTextBatch)) parts.push_back(clip.encode(batch).cpu());
  PredictResult result;
  result.output = torch::cat(parts);
  formats::write_npy(options.output, result.output);
  return result;
}

}  // namespace uvic::app
