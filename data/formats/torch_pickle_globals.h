// The names that pickles of PyTorch refer to: storage classes, dtypes, plain data, code.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/torch.h"
#include "data/formats/pickle.h"

namespace uvic::formats {

/// Whether the global is one of plain data: values of other classes are passed over.
bool is_plain_data(std::string_view module, std::string_view name);

/// torch.float32 and its like, as _rebuild_tensor_v3 names them.
std::optional<torch::ScalarType> named_dtype(std::string_view name);

std::optional<int64_t> as_int(const PickleValue* value);

}  // namespace uvic::formats
