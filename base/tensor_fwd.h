// Names of LibTorch for headers that only declare functions of tensors. LibTorch's own headers take a
// compiler five seconds; who calls such a function includes base/torch.h.
#pragma once

#include <cstdint>

namespace c10 {

struct Device;
enum class ScalarType : int8_t;
template <typename T>
class ArrayRef;
using IntArrayRef = ArrayRef<int64_t>;

}  // namespace c10

namespace at {

class Tensor;
using c10::Device;
using c10::IntArrayRef;
using c10::ScalarType;

}  // namespace at

namespace torch {

using at::Device;
using at::IntArrayRef;
using at::ScalarType;
using at::Tensor;
using Dtype = at::ScalarType;

}  // namespace torch
