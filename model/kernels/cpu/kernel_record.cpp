#include "model/kernels/cpu/kernel_record.h"

#include <atomic>

namespace uvic::model {
namespace {
std::atomic<KernelListener> g_listener{nullptr};
}  // namespace

void listen_to_kernels(KernelListener listener) { g_listener = listener; }
KernelListener kernel_listener() { return g_listener.load(std::memory_order_relaxed); }

}  // namespace uvic::model
