// UVIC_NEEDS_GPU: leaves a test that needs a CUDA device and our kernels, saying so; fails it where
// UVIC_REQUIRE_GPU is set in the environment.
#pragma once

#include <cstdlib>

#include "base/torch.h"
#include "model/kernels/cuda/attention_cuda_binding.h"
#include "tests/support/catch.h"
#include "tests/support/skip.h"

namespace uvic::test {

/// A CUDA device that our kernels serve.
inline bool gpu_kernels_serve() {
  return torch::cuda::is_available() &&
         model::cuda_attention_serves(
             torch::empty({1}, torch::dtype(torch::kBFloat16).device(torch::kCUDA)), 64, 1);
}

}  // namespace uvic::test

#define UVIC_NEEDS_GPU()                                                                   \
  do {                                                                                     \
    if (uvic::test::gpu_kernels_serve()) break;                                            \
    const char* missing = "no CUDA device, or a build without CUDA kernels";               \
    if (std::getenv("UVIC_REQUIRE_GPU")) FAIL(missing << ", which UVIC_REQUIRE_GPU asks"); \
    UVIC_SKIP(missing);                                                                    \
  } while (false)
