// CLIP's text encoder: token ids to the features that condition a text-to-image network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/torch.h"

namespace uvic::model {

/// Shapes are read off the weights; what shapes don't say is read from config.json next to them.
struct ClipTextConfig {
  int64_t vocabulary = 0;  ///< token ids
  int64_t positions = 0;   ///< the longest sequence
  int64_t width = 0;
  int64_t layers = 0;
  int64_t hidden = 0;      ///< width inside the perceptrons
  int64_t heads = 0;       ///< width / 64 where nothing says
  bool quick_gelu = true;  ///< x sigmoid(1.702 x); else the exact GELU
  double epsilon = 1e-5;   ///< of the LayerNorms
};

/// The name of the token embedding of a CLIP text encoder, or empty: the tensors are of no such
/// network. Distinguishes a CLIP file from others.
std::string clip_text_mark(const std::map<std::string, torch::Tensor>& tensors);

/// Whether the file, or what the folder stands for (ClipText::open), holds a CLIP text encoder.
/// Looks at names alone. Throws std::runtime_error for what can't be read.
bool is_clip_text(const std::filesystem::path& path);

/// x = token_embedding[ids] + position_embedding
/// x = x + attention(norm1(x)), causal, without a mask for padding
/// x = x + fc2(gelu(fc1(norm2(x))))        for each layer
/// y = final_norm(x)
///
/// Source: Radford et al. 2021, arXiv:2103.00020, and its code. y is what Hugging Face's
/// CLIPTextModel calls last_hidden_state.
class ClipText {
 public:
  /// Opens every published form, safetensors or torch.save, one file or shards with their index:
  /// Hugging Face's names (text_model.*, text encoder alone or the whole of CLIP), OpenAI's
  /// (transformer.resblocks.*), those of a whole Stable Diffusion checkpoint
  /// (cond_stage_model.*). A folder stands for its only file of weights, the folder of a diffusers
  /// pipeline for text_encoder/. Other tensors of the file are passed over.
  ///
  /// `notes`, if not null, receives a line for each thing that was assumed. Throws
  /// std::runtime_error that names the file and the tensor that is missing or misshapen.
  static ClipText open(const std::filesystem::path& path,
                       std::vector<std::string>* notes = nullptr);

  const ClipTextConfig& config() const { return config_; }
  const std::filesystem::path& path() const { return path_; }  ///< the file of the weights
  int64_t parameters() const;

  /// Where it computes and in what: float64, float32 or bfloat16. With bfloat16, products run in
  /// it; embeddings, residuals, LayerNorms, attention weights and the result stay in float32.
  void to(torch::Device device, torch::ScalarType compute);

  /// ids [B, L] int64 -> [B, L, width] float32 (float64 where it computes in it), on the device of
  /// the weights. On the CPU the bits for a text depend neither on its batch nor on the number of
  /// threads. Throws std::invalid_argument for a sequence that is too long and for an id that the
  /// vocabulary lacks.
  torch::Tensor encode(const torch::Tensor& ids) const;

 private:
  struct Norm {
    torch::Tensor weight, bias;  ///< [width]
  };
  struct Linear {
    torch::Tensor weight, bias;  ///< [out, in], [out]
  };
  struct Layer {
    Norm norm1, norm2;
    Linear qkv, proj, fc1, fc2;
  };

  ClipText() = default;
  template <class Function>
  void for_each_tensor(Function&& f);
  void check(const torch::Tensor& ids) const;
  bool rows_are_apart() const;
  torch::Tensor normalise(const torch::Tensor& x, const Norm& norm, torch::ScalarType out) const;
  torch::Tensor product(const torch::Tensor& x, const Linear& linear) const;
  torch::Tensor attention(const torch::Tensor& qkv) const;
  torch::Tensor activation(const torch::Tensor& x) const;
  torch::Tensor run(const torch::Tensor& ids) const;

  friend class ClipTextReader;

  ClipTextConfig config_;
  std::filesystem::path path_;
  torch::ScalarType compute_ = torch::kFloat32;
  torch::Tensor token_embedding_, position_embedding_;
  std::vector<Layer> layers_;
  Norm final_norm_;
};

}  // namespace uvic::model
