// Reports the work and the time of a kernel to PyTorch's profilers and to `uvic bench`.
#pragma once

#include <ATen/record_function.h>

#include <cstdint>

namespace uvic::model {

/// Arithmetic and memory traffic of a call, counted from its shapes: each operand is read once,
/// each result written once.
struct KernelWork {
  double flops = 0, bytes = 0;
};

/// Receives the work of every kernel at its start, on the calling thread. One listener per process;
/// null removes it. Change it only while no kernel runs.
using KernelListener = void (*)(const char* name, const KernelWork& work);
void listen_to_kernels(KernelListener listener);
KernelListener kernel_listener();

}  // namespace uvic::model

/// Labels the rest of the scope as `uvic::NAME` for RecordFunction's observers and reports its
/// work.
#define UVIC_KERNEL(name, ...)                                        \
  RECORD_FUNCTION("uvic::" name, c10::ArrayRef<const c10::IValue>{}); \
  if (const auto uvic_listener = ::uvic::model::kernel_listener())    \
  uvic_listener("uvic::" name, __VA_ARGS__)
