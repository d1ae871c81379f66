#include "app/commands/predict.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <stdexcept>
#include <utility>

#include "app/commands/predict_autoencoder.h"
#include "app/commands/predict_text.h"
#include "app/commands/predict_tokens.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "base/check.h"
#include "base/process.h"
#include "base/tensor_text.h"
#include "data/formats/npy.h"
#include "data/formats/output_file.h"
#include "model/kernel_choice.h"
#include "model/network.h"
#include "model/sequence_network.h"
#include "model/weights.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

/// The array that --FLAG names, which must have these sizes.
torch::Tensor read_array(const char* flag, const std::string& path, at::IntArrayRef sizes) {
  const auto array = formats::read_npy(path);
  base::require(array.sizes() == sizes,
                "--{} {}: {}, want {}",
                flag,
                path,
                base::shape_text(array.sizes()),
                base::shape_text(sizes));
  return array;
}

torch::Tensor read_floats(const char* flag, const std::string& path, at::IntArrayRef sizes) {
  const auto array = read_array(flag, path, sizes);
  base::require(array.is_floating_point(),
                "--{} {}: {}, want floats",
                flag,
                path,
                base::dtype_text(array.scalar_type()));
  return array.contiguous();
}

/// A batch of images or latents: sizes[0] of what comes back is the batch.
torch::Tensor read_input(const std::string& path, const model::NetworkInput& input) {
  const auto batch = std::max<int64_t>(1, [&] {
    const auto shape = formats::read_npy_info(path).shape;
    return shape.size() == 4 ? shape[0] : 1;
  }());
  return read_floats("input", path, {batch, input.channels, input.size, input.size});
}

torch::Tensor read_timesteps(const std::string& path, int64_t batch) {
  auto array = formats::read_npy(path);
  base::require(array.is_floating_point() || at::isIntegralType(array.scalar_type(), false),
                "--timesteps {}: {}, want numbers",
                path,
                base::dtype_text(array.scalar_type()));
  if (array.numel() == 1 && array.dim() <= 1) array = array.reshape({1}).expand({batch});
  base::require(array.sizes() == at::IntArrayRef({batch}),
                "--timesteps {}: {}, want [{}], one for each of the input, or a single one",
                path,
                base::shape_text(array.sizes()),
                batch);
  return array.to(torch::kFloat32).contiguous();
}

torch::Tensor read_condition(const PredictOptions& options,
                             const model::NetworkInput& input,
                             int64_t batch) {
  base::require(options.labels.empty() || input.num_classes > 0,
                "--labels: the network takes no classes (model.num_classes is {})",
                input.num_classes);
  base::require(options.context.empty() || input.context_dim > 0,
                "--context: the network takes no context (model.clip_dim is {})",
                input.context_dim);
  if (input.context_dim > 0) {
    base::require(
        !options.context.empty(),
        "--context is missing; give floats [{}, {}, {}]: the network is context-conditional",
        batch,
        input.context_tokens,
        input.context_dim);
    return read_floats(
        "context", options.context, {batch, input.context_tokens, input.context_dim});
  }
  if (input.num_classes <= 0) return {};
  base::require(
      !options.labels.empty(),
      "--labels is missing; give integers [{}] from 0 to {}: the network is class-conditional",
      batch,
      input.num_classes - 1);
  const auto array = read_array("labels", options.labels, {batch});
  base::require(at::isIntegralType(array.scalar_type(), false),
                "--labels {}: {}, want integers",
                options.labels,
                base::dtype_text(array.scalar_type()));
  const auto labels = array.to(torch::kInt64).contiguous();
  const auto low = labels.min().item<int64_t>(), high = labels.max().item<int64_t>();
  base::require(low >= 0 && high < input.num_classes,
                "--labels {}: class {}, the network has 0 to {}",
                options.labels,
                low < 0 ? low : high,
                input.num_classes - 1);
  return labels;
}

/// A folder for gradients alone: files of another network next to them would be taken for its own.
void make_gradient_folder(const fs::path& folder, const model::Network& network) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw std::runtime_error(
        fmt::format("--gradients {}: can't be made: {}", folder.string(), error.message()));
  std::set<std::string> own;
  for (const auto& item : network.named_parameters()) own.insert(item.key() + ".npy");
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    base::require(entry.path().extension() != ".npy" || own.count(name),
                  "--gradients {}: holds {}, which belongs to no parameter; give an empty folder",
                  folder.string(),
                  name);
  }
}

void write_gradients(const fs::path& folder, const model::Network& network, PredictResult& result) {
  double squares = 0;
  for (const auto& item : network.named_parameters()) {
    const auto& gradient = item.value().grad();
    const auto known = gradient.defined() ? gradient : torch::zeros_like(item.value());
    squares += known.to(torch::kFloat64).square().sum().item<double>();
    formats::write_npy(folder / (item.key() + ".npy"), known);
    ++result.gradients;
  }
  result.gradient_norm = std::sqrt(squares);
}

void print_result(const PredictOptions& options, const PredictResult& result) {
  const auto& output = result.output;
  print_json({{"output", options.output},
              {"dtype", base::dtype_text(output.scalar_type())},
              {"shape", output.sizes().vec()},
              {"mean", output.mean().item<double>()},
              {"std", output.std(/*unbiased=*/false).item<double>()},
              {"loss", options.target.empty() ? nlohmann::json() : nlohmann::json(result.loss)},
              {"gradients", result.gradients},
              {"gradient_norm", result.gradient_norm}});
  fmt::print("{}  {} {}, mean {:.6g}, std {:.6g}\n",
             options.output,
             base::dtype_text(output.scalar_type()),
             base::shape_text(output.sizes()),
             output.mean().item<double>(),
             output.std(/*unbiased=*/false).item<double>());
  if (!options.target.empty()) fmt::print("loss {:.17g}\n", result.loss);
  if (!options.gradients.empty())
    fmt::print("{}  {} gradients, norm {:.9g}\n",
               options.gradients,
               result.gradients,
               result.gradient_norm);
}

}  // namespace

void PredictOptions::refuse_inputs_of_others(const char* network) const {
  for (const auto& [flag, value] : {std::pair("prefix", &prefix),
                                    std::pair("config", &this->network.config),
                                    std::pair("timesteps", &timesteps),
                                    std::pair("labels", &labels),
                                    std::pair("context", &context),
                                    std::pair("target", &target),
                                    std::pair("gradients", &gradients)})
    base::require(
        value->empty(), "--{} {}: {} is {}, which takes none", flag, *value, weights, network);
}

void PredictOptions::validate() const {
  base::check_fields(*this);
  const auto needed = [](const char* flag, const std::string& value, const char* what) {
    base::require(!value.empty(), "--{} is missing; give {}", flag, what);
  };
  needed("weights", weights, "the file of the network's weights");
  needed("input", input, "the array that the network is given");
  needed("output", output, "the array to write");
  base::require(
      fs::path(output).extension() == ".npy", "--output {}: want a name ending in .npy", output);
  base::require(gradients.empty() || !target.empty(),
                "--gradients: of which loss? give --target too, an array shaped as the input");
  base::require(cache_step == 0 || gradients.empty(),
                "--cache_step: gradients need all tokens at once; leave out one of the two");
  base::require(labels.empty() || context.empty(), "predict: --labels or --context, not both");
  base::require(captions.empty(),
                "--captions {}: {} holds no text encoder, and only those take captions",
                captions,
                weights);
  base::require(tokens_output.empty() || !tokenizer.empty(),
                "--tokens_output {}: the tokens of which text? give --tokenizer, and the text as "
                "--input",
                tokens_output);
  base::require(tokens_output.empty() || fs::path(tokens_output).extension() == ".npy",
                "--tokens_output {}: want a name ending in .npy",
                tokens_output);
}

void PredictOptions::refuse_text() const {
  base::require(tokenizer.empty(),
                "--tokenizer {}: {} holds no text encoder and no language model, and only those "
                "take text",
                tokenizer,
                weights);
}

namespace {

PredictEvaluation evaluate_images(const PredictOptions& options,
                                  model::Network& network,
                                  torch::Device device,
                                  torch::Dtype dtype) {
  options.refuse_text();
  base::require(!options.timesteps.empty(),
                "--timesteps is missing; give the array of their times");
  base::require(options.cache_step == 0, "--cache_step: only for networks of sequences");
  const auto input = network.input();
  const auto x = read_input(options.input, input).to(device, dtype);
  const int64_t batch = x.size(0);
  const auto timesteps = read_timesteps(options.timesteps, batch).to(device);
  auto condition = read_condition(options, input, batch);
  if (condition.defined()) condition = condition.to(device);
  if (condition.defined() && condition.is_floating_point()) condition = condition.to(dtype);
  torch::Tensor target;
  if (!options.target.empty())
    target = read_floats("target", options.target, x.sizes()).to(device, dtype);
  PredictEvaluation result{network.forward(x, timesteps, condition), {}};
  if (target.defined()) result.loss = (result.output - target).square().mean();
  return result;
}

/// A whole Stable Diffusion checkpoint holds a text encoder and an autoencoder: --part asks for the
/// latter.
bool asks_for_text(const PredictOptions& options) {
  const bool halved = options.part != "none" && weights_are_autoencoder(options);
  return !halved && weights_are_clip_text(options);
}

}  // namespace

PredictResult run_predict(const PredictOptions& options) {
  if (asks_for_text(options)) return predict_text(options);
  options.validate();
  if (weights_are_autoencoder(options)) {
    options.refuse_text();
    return predict_autoencoder(options);
  }
  base::set_up_process(options.threads);
  model::use_fused_kernels(options.kernels == "fused");
  const torch::Device device(base::choose_device(options.device));
  for (const auto* path : {&options.output, &options.tokens_output})
    if (!path->empty()) formats::check_output_file(*path, /*overwrite=*/true);
  formats::refuse_same_file({options.output, options.tokens_output},
                            {options.input,
                             options.timesteps,
                             options.labels,
                             options.context,
                             options.target,
                             options.tokenizer,
                             options.weights});
  const auto file = open_weights(options.weights, options.prefix);
  base::require(options.part == "none" && options.tile == 0,
                "--{}: {} is not an autoencoder, and only those have parts and tiles",
                options.part == "none" ? "tile" : "part",
                options.weights);
  base::require(file.is_network,
                "{}: these are not the tensors of a network that uvic knows",
                file.path.string());
  const auto described = network_config(file, options.network);
  for (const auto& note : file.notes) fmt::print(stderr, "{}\n", note);
  for (const auto& assumed : described.assumed) fmt::print(stderr, "assumed: {}\n", assumed);
  const auto dtype = options.precision == "fp64" ? torch::kFloat64 : torch::kFloat32;
  const auto network = model::make_network(described.training.model);
  base::require(network->input().takes_tokens() || !options.timesteps.empty(),
                "--timesteps is missing; give the array of their times");
  model::load_weights(*network, file.tensors, file.path.string());
  network->to(device, dtype);
  if (options.precision == "bf16") network->set_compute_dtype(torch::kBFloat16);
  network->eval();
  if (!options.gradients.empty()) make_gradient_folder(options.gradients, *network);

  PredictResult result;
  const torch::AutoGradMode with_gradients(!options.gradients.empty());
  const auto evaluation =
      network->input().takes_tokens()
          ? evaluate_tokens(options, model::as_sequence_network(network), file, device)
          : evaluate_images(options, *network, device, dtype);
  result.output = evaluation.output.detach().cpu();
  if (const auto bad = result.output.isfinite().logical_not().sum().item<int64_t>())
    fmt::print(stderr, "warning: {} of {} values are not finite\n", bad, result.output.numel());
  formats::write_npy(options.output, result.output);
  if (evaluation.loss.defined()) {
    result.loss = evaluation.loss.item<double>();
    if (!options.gradients.empty()) {
      evaluation.loss.backward();
      write_gradients(options.gradients, *network, result);
    }
  }
  return result;
}

void add_predict_command(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  auto* command =
      app.add_subcommand("predict", "One evaluation of a network on arrays, and its gradients");
  add_fields(*command, *options);
  command->callback([options] { print_result(*options, run_predict(*options)); });
}

}  // namespace uvic::app
