// Arrays of NumPy inside a pickle, as numpy.save({...}) and pickle.dump write them: interpreted by
// the whitelist of pickle.h, never executed.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// What a pickled object holds, by dotted path: {"fid": {"mu": ...}} gives "fid.mu". Numbers are
/// arrays without dimensions. An array that is the object itself has the path "".
struct PickledArrays {
  std::map<std::string, torch::Tensor> arrays;
  std::set<std::string> foreign;  ///< classes whose values were passed over
};

/// Reads the pickle in `size` bytes from `begin` on; arrays are views of the file where their
/// alignment allows it. Throws std::runtime_error naming the file where the pickle is damaged,
/// refers to a global that runs code, or holds more than 10,000 arrays or 16 levels.
PickledArrays read_pickled_arrays(const std::shared_ptr<const MappedFile>& file,
                                  size_t begin,
                                  size_t size);

}  // namespace uvic::formats
