// Where LibTorch takes the memory of tensors on the CPU from.
#pragma once

namespace uvic::base {

/// Gives LibTorch an allocator whose freed blocks fit the next request of their size. Its own asks
/// posix_memalign, which (glibc to 2.37) looks for more than it keeps and gives back the rest: a
/// freed block never serves the same request again, and a training step, which frees and asks for
/// the same blocks over and over, leaves holes. Tensors made before keep their memory. Call it at
/// the start.
void use_compact_tensor_memory();

}  // namespace uvic::base
