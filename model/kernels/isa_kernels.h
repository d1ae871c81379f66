// The table of kernels of one instruction set. Included by isa_*.cpp alone.
#pragma once

#include "model/kernels/attention_tiles.h"
#include "model/kernels/optimizer_pass.h"
#include "model/kernels/row_passes.h"

namespace uvic::model::UVIC_ISA {

const KernelTable kKernels = {attention_scratch,
                              attention,
                              attention_grad_scratch,
                              attention_grad,
                              norm,
                              norm_grad,
                              gelu,
                              gelu_grad,
                              narrow,
                              adamw,
                              sum_of_squares};

}  // namespace uvic::model::UVIC_ISA
