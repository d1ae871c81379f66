// Integers in NumPy's .npy, of all its types.
#pragma once

#include <memory>

#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// Integers of any type: of uint16, uint32 and uint64, which LibTorch 1.13 lacks, the bits as int16,
/// int32 and int64.
struct IntegerArray {
  torch::Tensor bits;
  bool is_unsigned = false;  ///< whether `bits` are those of such a type

  /// As int64. Numbers of 2^63 and more become negative.
  torch::Tensor wide() const;
};

/// As read_npy(), and of those three types too. Does not refuse floats.
IntegerArray read_npy_integers(const std::shared_ptr<const MappedFile>& file);

}  // namespace uvic::formats
