// The kernels for portable.
#define UVIC_ISA portable
#include "model/kernels/attention_tiles.h"

namespace uvic::model::portable {
const KernelTable kKernels = {attention_scratch, attention, attention_grad_scratch, attention_grad};
}  // namespace uvic::model::portable
