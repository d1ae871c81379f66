#include "data/formats/numpy_array.h"

#include <algorithm>
#include <vector>

namespace uvic::formats {
namespace {

struct Dtype {
  std::string_view code;
  torch::ScalarType type;
};
constexpr Dtype kDtypes[] = {{"b1", torch::kBool},
                             {"u1", torch::kUInt8},
                             {"i1", torch::kInt8},
                             {"i2", torch::kInt16},
                             {"i4", torch::kInt32},
                             {"i8", torch::kInt64},
                             {"f2", torch::kFloat16},
                             {"f4", torch::kFloat32},
                             {"f8", torch::kFloat64},
                             {"c8", torch::kComplexFloat},
                             {"c16", torch::kComplexDouble}};

}  // namespace

std::optional<torch::ScalarType> numpy_dtype(std::string_view code) {
  for (const auto& dtype : kDtypes)
    if (code == dtype.code) return dtype.type;
  return std::nullopt;
}

std::string_view numpy_code(torch::ScalarType type) {
  for (const auto& dtype : kDtypes)
    if (type == dtype.type) return dtype.code;
  return "";
}

std::optional<torch::Tensor> numpy_array(const std::shared_ptr<const MappedFile>& file,
                                         size_t at,
                                         size_t available,
                                         const ArrayInfo& info,
                                         bool is_big_endian) {
  const int64_t numel = checked_numel(info.shape);
  const size_t element_bytes = c10::elementSize(info.dtype);
  if (numel < 0 || static_cast<size_t>(numel) > available / element_bytes) return std::nullopt;
  std::vector<int64_t> sizes = info.shape;
  if (info.is_fortran) std::reverse(sizes.begin(), sizes.end());
  auto tensor = tensor_over(file, at, sizes, info.dtype);
  if (is_big_endian && element_bytes > 1) {
    tensor = tensor.clone();
    const size_t part = tensor.is_complex() ? element_bytes / 2 : element_bytes;
    auto* bytes = static_cast<uint8_t*>(tensor.data_ptr());
    for (size_t i = 0; i < tensor.nbytes(); i += part) std::reverse(bytes + i, bytes + i + part);
  }
  if (!info.is_fortran) return tensor;
  std::vector<int64_t> reversed(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i)
    reversed[i] = static_cast<int64_t>(sizes.size() - 1 - i);
  return tensor.permute(reversed);
}

}  // namespace uvic::formats
