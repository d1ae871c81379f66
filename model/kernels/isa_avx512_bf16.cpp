// The kernels for avx512_bf16.
#define UVIC_ISA avx512_bf16
#include "model/kernels/attention_tiles.h"

namespace uvic::model::avx512_bf16 {
const KernelTable kKernels = {attention_scratch, attention, attention_grad_scratch, attention_grad};
}  // namespace uvic::model::avx512_bf16
