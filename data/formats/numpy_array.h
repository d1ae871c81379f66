// The elements of NumPy's arrays, wherever they are in a file.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/torch.h"
#include "data/formats/mapped_file.h"
#include "data/formats/npy.h"

namespace uvic::formats {

/// The first bytes of a .npy.
constexpr std::string_view kNpyMagic("\x93NUMPY", 6);

/// The type of NumPy's code without the byte order, as "f4", and the reverse ("" where NumPy has
/// no such type).
std::optional<torch::ScalarType> numpy_dtype(std::string_view code);
std::string_view numpy_code(torch::ScalarType dtype);

/// The array whose elements begin at byte `at` of the file; `available` bytes are there. A
/// copy-on-write view where byte order and alignment allow it. Nothing where the shape needs more
/// bytes than there are.
std::optional<torch::Tensor> numpy_array(const std::shared_ptr<const MappedFile>& file,
                                         size_t at,
                                         size_t available,
                                         const ArrayInfo& info,
                                         bool is_big_endian);

}  // namespace uvic::formats
