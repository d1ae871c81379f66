// The table of kernels of one instruction set. Included by isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/attention_tiles.h"
#include "model/kernels/cpu/gated_passes.h"
#include "model/kernels/cpu/linear_products.h"
#include "model/kernels/cpu/optimizer_pass.h"
#include "model/kernels/cpu/peak_loop.h"
#include "model/kernels/cpu/row_passes.h"

namespace uvic::model::UVIC_ISA {

const KernelTable kKernels = {attention_scratch,
                              attention,
                              attention_grad_scratch,
                              attention_grad,
                              norm,
                              norm_grad,
                              gelu,
                              gelu_grad,
                              swiglu,
                              swiglu_grad,
                              place_heads,
                              place_heads_grad,
                              narrow,
                              adamw,
                              sum_of_squares,
                              packed_floats,
                              pack_groups,
                              pack_weight,
                              product_row_blocks,
                              product_tasks,
                              product_scratch,
                              product_tasks_range,
                              weight_grad_parts,
                              weight_grad_scratch,
                              weight_grad,
                              multiply_adds};

}  // namespace uvic::model::UVIC_ISA
