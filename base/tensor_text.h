// Tensors and what stands in files, as people read them.
#pragma once

#include <torch/torch.h>

#include <string>
#include <string_view>

namespace uvic::base {

std::string dtype_text(torch::ScalarType dtype);  ///< NumPy's name: "float32"; "bfloat16"
std::string shape_text(at::IntArrayRef sizes);    ///< "[2, 3, 32, 32]"
std::string shape_text(const torch::Tensor& x);   ///< of an undefined tensor "none"
/// "[2, 3] float32 on cpu"
std::string tensor_text(const torch::Tensor& x);
std::string bytes_text(double size_bytes);  ///< "176 MB", powers of ten
std::string printable_text(
    std::string_view text);  ///< control characters as '?': a file can't write on the terminal

}  // namespace uvic::base
