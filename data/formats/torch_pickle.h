// .pth, both the zip form and the legacy stream: a pickle interpreted by a whitelist, never
// executed.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <variant>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

using PthScalar = std::variant<bool, int64_t, double, std::string>;

/// All that a .pth holds, by dotted path; what torch.save was given itself has the empty path.
struct PthFile {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, PthScalar>
      scalars;  ///< numbers (NumPy's too) and texts: "optimizer.param_groups.0.lr"
  std::map<std::string, std::string>
      others;  ///< the types of values that are neither, as "numpy.ndarray"
};

/// Every tensor of the file by its dotted path: the keys of a state_dict, or, in nested containers,
/// "optimizer.state.0.exp_avg". Shared storages stay shared, views keep their strides. Stored zip
/// entries are mapped: nothing is read before it is touched. Throws std::runtime_error that names
/// file and the refused global or opcode.
std::map<std::string, torch::Tensor> read_pth(const std::filesystem::path& path);

PthFile read_pth_file(const std::filesystem::path& path);
PthFile read_pth_file(const std::shared_ptr<const MappedFile>& file);

/// A state_dict that torch.load opens (zip form), with weights_only too. Tensors that share a
/// storage share it in the file; strides are kept. Throws std::invalid_argument for a tensor that
/// is not dense.
void write_pth(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& tensors);

}  // namespace uvic::formats
