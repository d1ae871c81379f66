// What a block of threads can do, in few words: the only place where our CUDA kernels touch the
// machine.
//
// Compiled by nvcc these are PTX instructions (cuda_block_device.cuh). Compiled by any C++ compiler
// they are an emulation (cuda_block_host.h) that runs each thread of a block as a fiber and refuses
// what a GPU would do wrong in silence: shared memory out of bounds, read before it was written or
// before a barrier, bank conflicts of matrix loads, diverged warp operations. Kernels written in
// these words are tested on machines without a GPU, line by line the same source.
//
//   thread_index()  block_index()             where a thread stands; a block is one-dimensional
//   sync_threads()  sync_warp()               barriers, which also order shared memory
//   shuffle_xor(x, mask)                      x of the lane whose number differs in these bits
//   shared_load<T>(at)  shared_store(at, x)   T of 4, 8 or 16 bytes, `at` a byte offset aligned to
//   it copy_async(at, global, wanted)            16 bytes into shared memory; zeros where not
//   wanted commit_copies()  wait_copies<N>()         closes a group; waits until at most N groups
//   are under way load_matrices(r, at)                      four 8 x 8 matrices of 16-bit elements;
//   lane l names row load_matrices_transposed(r, at)           l % 8 of matrix l / 8
//   multiply_add<T>(c, a, b0, b1)             c [16, 8] += a [16, 16] b [16, 8]: mma.m16n8k16, sums
//   in fp32 exp2_fast(x)  log2_fast(x)                to 2 units in the last place; exp2 flushes
//   denormals to 0 Bf16, Fp16: pack(low, high)  low(word)  high(word) launch(kernel, Grid, threads,
//   shared_bytes, stream, argument)
//
// Fragments (lane l, group g = l / 4, t = l % 4), as PTX ISA 8.x, "Matrix fragments for
// mma.m16n8k16":
//   a[0] rows g, columns 2t 2t+1; a[1] rows g+8; a[2] columns + 8; a[3] both; b0 rows 2t 2t+1,
//   column g; b1 rows + 8; c[0] c[1] row g, columns 2t 2t+1; c[2] c[3] row g + 8.
#pragma once

#include <stdint.h>

namespace uvic::model::cuda {

struct Grid {
  int64_t x, y, z;
};
struct BlockIndex {
  int x, y, z;
};
struct alignas(8) Pair {
  float a, b;
};
struct alignas(16) Four {
  float a, b, c, d;
};
struct alignas(16) Words {
  uint32_t word[4];
};

}  // namespace uvic::model::cuda

#if defined(__CUDACC__)
#include "model/kernels/cuda/cuda_block_device.cuh"
#else
#include "model/kernels/cuda/cuda_block_host.h"
#endif
