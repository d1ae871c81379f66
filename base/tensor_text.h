// Text for people: shapes and dtypes of tensors, sizes, and strings from files.
#pragma once

#include <string>
#include <string_view>

#include "base/tensor_fwd.h"

namespace uvic::base {

std::string dtype_text(torch::ScalarType dtype);  ///< the name in NumPy ("float32"), or "bfloat16"
std::string shape_text(at::IntArrayRef sizes);    ///< "[2, 3, 32, 32]"
std::string shape_text(const torch::Tensor& x);   ///< "none" for an undefined tensor
/// "[2, 3] float32 on cpu"
std::string tensor_text(const torch::Tensor& x);
std::string bytes_text(double size_bytes);  ///< "176 MB", powers of ten
/// Control characters become '?', so that a file cannot control the terminal.
std::string printable_text(std::string_view text);

}  // namespace uvic::base
