// The operations of warpgroups in cuda_block.cuh on compute capability 9.0. Included by
// cuda_block_device.cuh alone.
#pragma once

namespace uvic::model::cuda {

// ---- warpgroups: 128 threads, compute capability 9.0 (sm_90a) --------------------------------

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define UVIC_HOPPER_CODE 1

UVIC_DEVICE void group_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
UVIC_DEVICE void group_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
UVIC_DEVICE void group_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
UVIC_DEVICE void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// The descriptor of a right factor: rows of 128 bytes in the 128-byte swizzle, eight rows 1024
/// bytes from the next eight (PTX ISA, "Matrix descriptor format" of wgmma).
UVIC_DEVICE uint64_t swizzled_matrix(uint32_t at) {
  const uint64_t address = (shared_address(at) & 0x3ffffu) >> 4;
  return address | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

template <class T, int kColumns, bool kTransposed>
struct GroupProduct;

// The text of an instruction must be literal, so each instance is written out by these.
#define UVIC_SUMS(j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
#define UVIC_FACTORS "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add ? 1 : 0)

#define UVIC_GROUP_PRODUCT_16(T, type)                                                            \
  template <>                                                                                     \
  struct GroupProduct<T, 16, false> {                                                             \
    UVIC_DEVICE static void run(float (&c)[2][4], const uint32_t (&a)[4], uint64_t b, bool add) { \
      asm volatile(                                                                               \
          "{\n.reg .pred p;\nsetp.ne.b32 p, %13, 0;\n"                                            \
          "wgmma.mma_async.sync.aligned.m64n16k16.f32." type "." type                             \
          " {"                                                                                    \
          "%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p, 1, 1, 0;\n}\n"            \
          : UVIC_SUMS(0), UVIC_SUMS(1)                                                            \
          : UVIC_FACTORS);                                                                        \
    }                                                                                             \
  }

#define UVIC_GROUP_PRODUCT_64(T, type, transposed, flag)                                          \
  template <>                                                                                     \
  struct GroupProduct<T, 64, transposed> {                                                        \
    UVIC_DEVICE static void run(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b, bool add) { \
      asm volatile(                                                                               \
          "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                            \
          "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type                             \
          " {"                                                                                    \
          "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                \
          "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "     \
          "{%32, %33, %34, %35}, %36, p, 1, 1, " flag ";\n}\n"                                    \
          : UVIC_SUMS(0),                                                                         \
            UVIC_SUMS(1),                                                                         \
            UVIC_SUMS(2),                                                                         \
            UVIC_SUMS(3),                                                                         \
            UVIC_SUMS(4),                                                                         \
            UVIC_SUMS(5),                                                                         \
            UVIC_SUMS(6),                                                                         \
            UVIC_SUMS(7)                                                                          \
          : UVIC_FACTORS);                                                                        \
    }                                                                                             \
  }

UVIC_GROUP_PRODUCT_16(Bf16, "bf16");
UVIC_GROUP_PRODUCT_16(Fp16, "f16");
UVIC_GROUP_PRODUCT_64(Bf16, "bf16", false, "0");
UVIC_GROUP_PRODUCT_64(Bf16, "bf16", true, "1");
UVIC_GROUP_PRODUCT_64(Fp16, "f16", false, "0");
UVIC_GROUP_PRODUCT_64(Fp16, "f16", true, "1");

#undef UVIC_GROUP_PRODUCT_64
#undef UVIC_GROUP_PRODUCT_16
#undef UVIC_FACTORS
#undef UVIC_SUMS

template <class T, bool kTransposed, int kChunks>
UVIC_DEVICE void group_multiply_add(float (&c)[kChunks][4],
                                    const uint32_t (&a)[4],
                                    uint32_t b,
                                    bool add) {
  GroupProduct<T, 8 * kChunks, kTransposed>::run(c, a, swizzled_matrix(b), add);
}
/// Sums of products in flight may be read after group_wait(); the compiler does not know it.
template <int kChunks>
UVIC_DEVICE void settle(float (&c)[kChunks][4]) {
  UVIC_UNROLL
  for (int j = 0; j < kChunks; ++j)
    asm volatile("" : "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])::"memory");
}
#endif

}  // namespace uvic::model::cuda
