// Runs the kernels of one instruction set for a while.
#pragma once

#include "model/kernels/cpu/isa.h"

namespace uvic::test {

/// From construction to destruction the kernels use `isa`; then what they used before.
class WithIsa {
 public:
  explicit WithIsa(model::Isa isa) : before_(model::active_isa()) { model::force_isa(isa); }
  ~WithIsa() { model::force_isa(before_); }
  WithIsa(const WithIsa&) = delete;
  WithIsa& operator=(const WithIsa&) = delete;

 private:
  model::Isa before_;
};

}  // namespace uvic::test
