// .pth, both the zip form and the legacy stream: a pickle interpreted by a whitelist, never
// executed.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>

namespace uvic::formats {

/// Every tensor of the file by its dotted path: the keys of a state_dict, or, in nested containers,
/// "optimizer.state.0.exp_avg". Shared storages stay shared, views keep their strides.
/// Throws std::runtime_error that names file and the refused global or opcode.
std::map<std::string, torch::Tensor> read_pth(const std::filesystem::path& path);

/// A state_dict that torch.load opens (zip form).
void write_pth(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& tensors);

}  // namespace uvic::formats
