// The operations of a block of threads. Our CUDA kernels use the hardware only through them.
//
// nvcc compiles them to PTX instructions (cuda_block_device.cuh). Any other C++ compiler compiles
// them to an emulation (cuda_block_host.h) that runs each thread of a block as a fiber. So the same
// kernel source is tested on machines without a GPU. The emulation reports errors that a GPU does
// not: shared memory out of bounds, reads before a write or before a barrier, bank conflicts of
// matrix loads, and diverged warp operations.
//
//   thread_index()  block_index()             indices of the thread; a block is one-dimensional
//   sync_threads()  sync_warp()               barriers, which also order shared memory
//   shuffle_xor(x, mask)                      x of the lane whose number differs in these bits
//   shared_load<T>(at)  shared_store(at, x)   T of 4, 8 or 16 bytes; `at`: aligned byte offset
//   copy_async(at, global, wanted)            16 bytes into shared memory; zeros if not wanted
//   commit_copies()                           closes a group of copies
//   wait_copies<N>()                          waits until at most N groups are unfinished
//   load_matrices(r, at)                      four 8 x 8 matrices of 16-bit elements; `at` of lane l
//   load_matrices_transposed(r, at)           is row l % 8 of matrix l / 8
//   multiply_add<T>(c, a, b0, b1)             c [16, 8] += a [16, 16] b [16, 8]: mma.m16n8k16, with
//                                             sums in fp32
//   multiply_plus(a, b, c)                    a b + c, rounded once
//   exp2_fast(x)  log2_fast(x)                to 2 units in the last place; exp2 flushes denormals
//                                             to 0
//   normal_cdf(x)                             Phi(x), absolute error below 1e-6
//   Bf16, Fp16: pack(low, high)  low(word)  high(word)
//   launch(kernel, Grid, threads, shared_bytes, stream, argument)
//
// Of a warpgroup (128 threads that start at a multiple of 128), where UVIC_HOPPER_CODE is defined:
//
//   publish_shared()                          this thread's writes to shared memory, before the barrier
//                                             that lets a product of a warpgroup read them
//   group_fence()                             before the first product after its registers changed
//   group_multiply_add<T, transposed>(c, a, b, add)
//                                             c [64, 8 chunks] (+)= a [64, 16] b: wgmma. a and c as in
//                                             mma, warp w of the group holds rows 16 w. b: byte offset
//                                             of rows of 128 bytes in the 128-byte swizzle, a multiple
//                                             of 1024 plus the offset of the first of 16 inner indices;
//                                             b's rows are c's columns, or (transposed) the inner index
//   group_commit()  group_wait()              the products since the last commit; waits for all
//   settle(c)                                 after group_wait(), before c is read
//
//   has_warpgroups()                          host: whether the present device and this build have them
//
// Fragments (lane l, group g = l / 4, t = l % 4), as in PTX ISA 8.x, "Matrix fragments for
// mma.m16n8k16":
//
//   a[0]       rows g, columns 2t 2t+1
//   a[1]       rows g + 8
//   a[2]       columns + 8
//   a[3]       rows g + 8, columns + 8
//   b0         rows 2t 2t+1, column g
//   b1         rows + 8
//   c[0] c[1]  row g, columns 2t 2t+1
//   c[2] c[3]  row g + 8
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
