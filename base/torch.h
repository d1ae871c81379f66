// LibTorch's tensors, automatic differentiation and CUDA queries. <torch/torch.h> has its modules,
// optimizers, data loaders and serialisation too, whose templates each source would instantiate
// again. A source that uses one includes its header.
#pragma once

#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <torch/version.h>
