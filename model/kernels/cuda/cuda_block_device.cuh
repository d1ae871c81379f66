// cuda_block.cuh on a GPU of compute capability 8.0 or more. Included by it alone.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#define UVIC_DEVICE __device__ __forceinline__
#define UVIC_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define UVIC_UNROLL _Pragma("unroll")
#define UVIC_UNROLL_TWICE _Pragma("unroll 2")

namespace uvic::model::cuda {

extern __shared__ __align__(1024) unsigned char shared_bytes[];

UVIC_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
UVIC_DEVICE BlockIndex block_index() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)};
}

UVIC_DEVICE void sync_threads() { __syncthreads(); }
UVIC_DEVICE void sync_warp() { __syncwarp(); }
UVIC_DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

template <class T>
UVIC_DEVICE T shared_load(uint32_t at) {
  return *reinterpret_cast<const T*>(shared_bytes + at);
}
template <class T>
UVIC_DEVICE void shared_store(uint32_t at, T x) {
  *reinterpret_cast<T*>(shared_bytes + at) = x;
}

UVIC_DEVICE uint32_t shared_address(uint32_t at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared_bytes)) + at;
}

UVIC_DEVICE void copy_async(uint32_t at, const void* global, bool wanted) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(at)),
               "l"(global),
               "r"(wanted ? 16 : 0)
               : "memory");
}
UVIC_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroups>
UVIC_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

UVIC_DEVICE void load_matrices(uint32_t (&r)[4], uint32_t at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(at))
               : "memory");
}
UVIC_DEVICE void load_matrices_transposed(uint32_t (&r)[4], uint32_t at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(at))
               : "memory");
}

struct Bf16 {
  UVIC_DEVICE static uint32_t pack(float low, float high) {
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
  }
  UVIC_DEVICE static float low(uint32_t word) { return __uint_as_float(word << 16); }
  UVIC_DEVICE static float high(uint32_t word) { return __uint_as_float(word & 0xffff0000u); }
  UVIC_DEVICE static void multiply_add(float (&c)[4],
                                       const uint32_t (&a)[4],
                                       uint32_t b0,
                                       uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

struct Fp16 {
  UVIC_DEVICE static uint32_t pack(float low, float high) {
    uint32_t word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
  }
  UVIC_DEVICE static float low(uint32_t word) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffffu)));
  }
  UVIC_DEVICE static float high(uint32_t word) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)));
  }
  UVIC_DEVICE static void multiply_add(float (&c)[4],
                                       const uint32_t (&a)[4],
                                       uint32_t b0,
                                       uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

template <class T>
UVIC_DEVICE void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  T::multiply_add(c, a, b0, b1);
}

/// The signs of two numbers, at the positions of the signs of their packed 16-bit forms.
UVIC_DEVICE uint32_t packed_signs(float low, float high) {
  return __byte_perm(__float_as_uint(low), __float_as_uint(high), 0x7632) & 0x80008000u;
}
UVIC_DEVICE float with_sign_of(float x, float sign) {
  return __uint_as_float(__float_as_uint(x) ^ (__float_as_uint(sign) & 0x80000000u));
}

UVIC_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
UVIC_DEVICE float log2_fast(float x) { return __log2f(x); }
UVIC_DEVICE float multiply_plus(float a, float b, float c) { return fmaf(a, b, c); }
UVIC_DEVICE float root(float x) { return __fsqrt_rn(x); }
UVIC_DEVICE float normal_cdf(float x) { return fmaf(0.5f, erff(x * 0.70710678f), 0.5f); }

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

/// Whether the present device runs products of warpgroups, and this build has them.
inline bool has_warpgroups() {
#if defined(UVIC_CUDA_HOPPER)
  int device = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  return major == 9;
#else
  return false;
#endif
}

template <class Argument>
void launch(void (*kernel)(Argument),
            Grid grid,
            int threads,
            int shared,
            void* stream,
            const Argument& argument) {
  if (grid.x * grid.y * grid.z == 0) return;
  if (shared > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
          "shared memory of a CUDA kernel");
  const dim3 blocks(
      static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  kernel<<<blocks, threads, shared, static_cast<cudaStream_t>(stream)>>>(argument);
  check(cudaGetLastError(), "start of a CUDA kernel");
}

}  // namespace uvic::model::cuda

#include "model/kernels/cuda/cuda_block_warpgroup.cuh"
