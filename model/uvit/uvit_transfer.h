// Weights of one U-ViT as the beginning of another.
#pragma once

#include "model/weight_transfer.h"

namespace uvic::model {

/// As transfer_weights() in model/weight_transfer.h, tensor by tensor of the same name:
///
/// - pos_embed: rows of the extra tokens by meaning (label, time, context 0, 1, ...); rows of the
///   patches by bicubic interpolation of their grid (half-pixel centres), where the sides differ.
///   Source: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.2; bicubic as in DeiT, Touvron
///   et al. 2021, arXiv:2012.12877, section 3.
/// - label_emb.weight: rows as class_rows says.
/// - any other: copied where the shapes agree, else fresh.
WeightTransfer transfer_uvit(const TransferInput& input);

}  // namespace uvic::model
