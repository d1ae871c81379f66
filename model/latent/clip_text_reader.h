// The weights of a CLIP text encoder under the names of any publisher.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/stored_tensors.h"
#include "model/latent/clip_text.h"

namespace uvic::model {

/// Fills a ClipText from the tensors of a file. Throws std::runtime_error naming file and tensor.
class ClipTextReader {
 public:
  explicit ClipTextReader(const formats::StoredTensors& file);
  ClipText read(std::vector<std::string>* notes);

 private:
  torch::Tensor tensor(const std::string& name, at::IntArrayRef sizes) const;
  ClipText::Norm norm(const std::string& name) const;
  ClipText::Linear linear(const std::string& name, int64_t out, int64_t in) const;
  ClipText::Linear projections(const std::string& layer) const;
  ClipText::Layer layer(int64_t index) const;
  void read_shapes();
  void read_settings(std::vector<std::string>* notes);
  [[noreturn]] void fail(const std::string& text) const;

  const formats::StoredTensors& file_;
  std::string prefix_;         ///< what precedes the names of the text encoder
  bool hugging_face_ = false;  ///< whose names
  ClipTextConfig config_;
};

}  // namespace uvic::model
