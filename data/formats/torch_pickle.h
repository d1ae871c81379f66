// .pth, both the zip form and the legacy stream: a pickle interpreted by a whitelist, never
// executed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

using PthScalar = std::variant<bool, int64_t, double, std::string>;

/// All that a .pth holds, by dotted path; what torch.save was given itself has the empty path.
struct PthFile {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, PthScalar>
      scalars;  ///< numbers (NumPy's too) and texts: "optimizer.param_groups.0.lr"
  std::map<std::string, std::string>
      others;                      ///< the types of values that are neither, as "numpy.ndarray"
  std::vector<std::string> order;  ///< the paths of `tensors` as they come in the file
  std::set<std::string>
      foreign;  ///< classes whose values were passed over, as "omegaconf.DictConfig"
};

/// Every tensor of the file by its dotted path: the keys of a state_dict, or, in nested containers,
/// "optimizer.state.0.exp_avg". Shared storages stay shared, views keep their strides. Stored zip
/// entries are mapped and checked against their CRC, at the speed of memory or disk; files written
/// without checksums (PyTorch's set_crc32_options(False)) are read as they are.
///
/// Objects of other classes (config objects, callbacks, enums, times) are never made: their values
/// are passed over, tensors inside them are found, a module's under the names of its state_dict.
///
/// Throws std::runtime_error that names file and the refused opcode, a global that runs code
/// (os.system, eval), or a total of tensors beyond 8 times their storages and 64 MiB, which
/// expanded views of a small storage would reach.
std::map<std::string, torch::Tensor> read_pth(const std::filesystem::path& path);

PthFile read_pth_file(const std::filesystem::path& path);
PthFile read_pth_file(const std::shared_ptr<const MappedFile>& file);

/// A state_dict that torch.load opens (zip form), with weights_only too. Tensors that share a
/// storage share it in the file; strides are kept. Throws std::invalid_argument for a tensor that
/// is not dense.
void write_pth(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& tensors);

}  // namespace uvic::formats
