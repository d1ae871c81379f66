// What a kernel does and how long it takes, for whoever listens: PyTorch's profilers and `uvic
// bench`.
#pragma once

#include <ATen/record_function.h>

#include <cstdint>

namespace uvic::model {

/// Arithmetic and memory traffic of a call, counted from its shapes: each operand is read once,
/// each result written once.
struct KernelWork {
  double flops = 0, bytes = 0;
};

/// Hears the work of every kernel as it starts, on the thread that called it. One for the process;
/// null turns it off. Change it while no kernel runs.
using KernelListener = void (*)(const char* name, const KernelWork& work);
void listen_to_kernels(KernelListener listener);
KernelListener kernel_listener();

}  // namespace uvic::model

/// Names the rest of the scope `uvic::NAME` for RecordFunction's observers, and tells its work.
#define UVIC_KERNEL(name, ...)                                        \
  RECORD_FUNCTION("uvic::" name, c10::ArrayRef<const c10::IValue>{}); \
  if (const auto uvic_listener = ::uvic::model::kernel_listener())    \
  uvic_listener("uvic::" name, __VA_ARGS__)
