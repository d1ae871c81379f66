// Values of a pickle that are no tensors: numbers of NumPy, paths, and the types of all others.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/pickle.h"
#include "data/formats/torch_pickle.h"

namespace uvic::formats {

/// The type of a value that is passed over, as Python names it.
std::string type_name(const PickleValue* value);

/// The bytes that a text of encode(text, 'latin1') stands for.
std::string latin1_bytes(std::string_view utf8);

/// NumPy's scalars: scalar(dtype('f8'), bytes), where Python 2's protocol writes bytes as
/// encode(text, 'latin1'). Nothing where the call is no such scalar.
std::optional<PthScalar> numpy_scalar(const PickleValue* call);

/// The parts of a path, as pathlib keeps them.
std::string joined_path(const std::vector<PickleValue*>& parts);

}  // namespace uvic::formats
