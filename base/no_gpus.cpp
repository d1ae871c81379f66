// The calls of gpus.h that ask CUDA, in a build without it.
#include <stdexcept>

#include "base/gpus.h"

namespace uvic::base {

std::vector<std::string> visible_gpus() { return {}; }

void make_current(int64_t) { throw std::runtime_error("this build has no CUDA"); }

}  // namespace uvic::base
