#include "model/kernel_choice.h"

#include <atomic>

namespace uvic::model {
namespace {
std::atomic<bool> fused{true};
}  // namespace

bool fused_kernels() { return fused; }
void use_fused_kernels(bool use) { fused = use; }

}  // namespace uvic::model
