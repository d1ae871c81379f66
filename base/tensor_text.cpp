#include "base/tensor_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text_format.h"
#include "base/torch.h"

namespace uvic::base {

std::string dtype_text(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kFloat64:
      return "float64";
    case torch::kFloat32:
      return "float32";
    case torch::kFloat16:
      return "float16";
    case torch::kBFloat16:
      return "bfloat16";
    case torch::kInt64:
      return "int64";
    case torch::kInt32:
      return "int32";
    case torch::kInt16:
      return "int16";
    case torch::kInt8:
      return "int8";
    case torch::kUInt8:
      return "uint8";
    case torch::kBool:
      return "bool";
    case torch::kComplexFloat:
      return "complex64";
    case torch::kComplexDouble:
      return "complex128";
    default:
      return c10::toString(dtype);
  }
}

std::string shape_text(at::IntArrayRef sizes) {
  return fmt::format("[{}]", fmt::join(sizes.vec(), ", "));
}

std::string shape_text(const torch::Tensor& x) {
  return x.defined() ? shape_text(x.sizes()) : "none";
}

std::string tensor_text(const torch::Tensor& x) {
  if (!x.defined()) return "none";
  return fmt::format("{} {} on {}", shape_text(x), dtype_text(x.scalar_type()), x.device().str());
}

std::string bytes_text(double size_bytes) {
  return si_number(size_bytes) + (size_bytes < 999.5 ? " B" : "B");
}

std::string printable_text(std::string_view text) {
  std::string result(text);
  std::replace_if(
      result.begin(), result.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return result;
}

}  // namespace uvic::base
