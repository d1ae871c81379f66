// The table of image kernels of one instruction set. Included by image_isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/image_passes.h"
#include "model/kernels/cpu/winograd.h"

namespace uvic::model::UVIC_ISA {

const ImageKernels kImageKernels = {channel_sums,
                                    scale_channels,
                                    winograd_columns,
                                    winograd_pack,
                                    winograd_pieces,
                                    winograd_scratch,
                                    winograd};

}  // namespace uvic::model::UVIC_ISA
