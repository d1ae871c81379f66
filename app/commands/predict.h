// uvic predict: one evaluation of a network on arrays, to hold it against another program's.
#pragma once

#include <torch/torch.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <string>

#include "app/runs/weights_file.h"

namespace uvic::app {

struct PredictOptions {
  std::string weights;
  NetworkHints network;
  std::string prefix;
  std::string input;
  std::string timesteps;
  std::string labels;
  std::string context;
  std::string output;
  std::string target;
  std::string gradients;
  std::string precision = "fp32";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("weights",
          weights,
          "Weights: .safetensors or .pth, a folder of the official code, a run folder");
    network.fields(visit);
    visit("prefix",
          prefix,
          "Which network of a file that holds several, as model or ema; empty: the averaged one");
    visit("input", input, "Floats [batch, in_chans, img_size, img_size], .npy");
    visit("timesteps",
          timesteps,
          "Numbers [batch], or one for all, as the network is told them: 999 t for pixels, n in "
          "1..1000 for latents; .npy");
    visit("labels", labels, "Integers [batch], of a class-conditional network; .npy");
    visit("context",
          context,
          "Floats [batch, num_clip_token, clip_dim], of a context-conditional network; .npy");
    visit("output", output, "Where the prediction goes, floats as the input; .npy");
    visit("target",
          target,
          "Floats shaped as the input: prints the loss mean((output - target)^2); .npy");
    visit("gradients",
          gradients,
          "Folder for the gradient of the loss, NAME.npy for each parameter; needs --target");
    visit("precision", precision, "Of products and attention: fp64 | fp32 | bf16");
    visit("kernels", kernels, "fused | plain: the definitions in tensor code alone");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
  }
  void validate() const;
};

struct PredictResult {
  torch::Tensor output;  ///< [batch, in_chans, img_size, img_size], float64 or float32, on the CPU
  double loss = std::numeric_limits<double>::quiet_NaN();           ///< with a target
  double gradient_norm = std::numeric_limits<double>::quiet_NaN();  ///< with gradients
  int64_t gradients = 0;                                            ///< files written
};

/// Writes options.output, and the gradients where asked for. Throws std::invalid_argument naming
/// the option whose array does not fit the network, before any work.
PredictResult run_predict(const PredictOptions& options);

void add_predict_command(CLI::App& app);

}  // namespace uvic::app
