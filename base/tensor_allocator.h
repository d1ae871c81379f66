// The allocator for tensors on the CPU.
#pragma once

namespace uvic::base {

/// Sets a LibTorch allocator whose freed blocks fit the next request of the same size.
///
/// The default allocator uses posix_memalign. In glibc up to 2.37, it searches for a larger block
/// than it keeps, so a freed block never fits the same request again. A training step, which frees
/// and requests the same blocks repeatedly, then fragments the memory. Existing tensors keep their
/// memory. Call it at the start of the process.
void use_compact_tensor_memory();

}  // namespace uvic::base
