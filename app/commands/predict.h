// uvic predict: one evaluation of a network on arrays, to hold it against another program's.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <string>

#include "app/runs/weights_file.h"
#include "base/torch.h"

namespace uvic::app {

struct PredictOptions {
  std::string weights;
  NetworkHints network;
  std::string prefix;
  std::string part = "none";
  int64_t tile = 0;
  std::string input;
  std::string timesteps;
  std::string labels;
  std::string context;
  std::string tokenizer;
  std::string captions;
  std::string tokens_output;
  std::string output;
  std::string target;
  std::string gradients;
  int64_t cache_step = 0;
  std::string precision = "fp32";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("weights",
          weights,
          Field{"Weights: .safetensors or .pth, a folder of the official code, a run folder; or "
                "embedded, the autoencoder that comes with the program"});
    network.fields(visit);
    visit(
        "prefix",
        prefix,
        Field{
            "Which network of a file that holds several, such as model or ema; empty: the average"}
            .advanced());
    visit("part",
          part,
          Field{"For an autoencoder: its half to evaluate",
                {{"none", "for other networks"},
                 {"encoder", "images in [-1, 1] to moments"},
                 {"decoder", "latents that are not scaled to images"}}});
    visit(
        "tile",
        tile,
        Field{"For an autoencoder: side, in latents, of the overlapping and blended tiles in which "
              "large images are computed; 0: whole",
              base::from(0, 1 << 16)});
    visit(
        "input",
        input,
        Field{"Floats [batch, in_chans, img_size, img_size]; of an autoencoder, images or latents "
              "of any size; of a text encoder, tokens: integers [batch, tokens]; of a network of "
              "sequences integers [batch, length]; .npy. With --tokenizer, a text (UTF-8)"});
    visit(
        "timesteps",
        timesteps,
        Field{"Numbers [batch], or one for all, as the network takes them: 999 t for pixels, n in "
              "1..1000 for latents; .npy"});
    visit("labels", labels, Field{"Integers [batch], for a class-conditional network; .npy"});
    visit(
        "context",
        context,
        Field{"Floats [batch, num_clip_token, clip_dim], for a context-conditional network; .npy"});
    visit("tokenizer",
          tokenizer,
          Field{"Tokenizer of a text encoder: bpe_simple_vocab_16e6.txt.gz, vocab.json, "
                "tokenizer.json, or their folder; of a language model tokenizer.json or "
                "tokenizer.model"});
    visit(
        "captions",
        captions,
        Field{"Captions for a text encoder: a JSON list of texts, or a text file with one a line"});
    visit("tokens_output",
          tokens_output,
          Field{"Where the tokens of the captions, or of the text, are written, int64 [texts, "
                "tokens]; .npy"});
    visit("output",
          output,
          Field{"Where the prediction is written, floats as the input, or logits [batch, length, "
                "vocabulary]; .npy"});
    visit("target",
          target,
          Field{"Floats shaped as the input: prints the loss mean((output - target)^2); for "
                "sequences integers [batch, length], the token after each (negative: not counted): "
                "prints the mean cross entropy; .npy"});
    visit("cache_step",
          cache_step,
          Field{"Sequences: read so many tokens at a time, against a cache of keys and values; 0: "
                "all at once, without a cache",
                base::from(0, 1 << 24)}
              .advanced());
    visit(
        "gradients",
        gradients,
        Field{"Folder for the gradient of the loss, NAME.npy for each parameter; needs --target"});
    visit("precision",
          precision,
          Field{"Precision of products and attention", {{"fp64", ""}, {"fp32", ""}, {"bf16", ""}}});
    visit("kernels", kernels, base::kernels_field());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
  }
  void validate() const;
  /// Throws std::invalid_argument where text is given and the network, which is no text encoder and
  /// not one of sequences, takes none.
  void refuse_text() const;
  /// Throws std::invalid_argument that names an option which `network` ("a text encoder", say)
  /// would ignore: those of U-ViTs and of networks of sequences.
  void refuse_inputs_of_others(const char* network) const;
};

struct PredictResult {
  torch::Tensor output;  ///< float64 or float32, on the CPU; see PredictOptions
  double loss = std::numeric_limits<double>::quiet_NaN();           ///< with a target
  double gradient_norm = std::numeric_limits<double>::quiet_NaN();  ///< with gradients
  int64_t gradients = 0;                                            ///< files written
};

/// Writes options.output, and the gradients where asked for. Throws std::invalid_argument naming
/// the option whose array does not fit the network, before any work.
PredictResult run_predict(const PredictOptions& options);

void add_predict_command(CLI::App& app);

}  // namespace uvic::app
