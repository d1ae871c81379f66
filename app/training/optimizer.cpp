#include "app/training/optimizer.h"

#include <fmt/format.h>

#include <stdexcept>

#include "app/training/adamw.h"

namespace uvic::app {

const std::vector<OptimizerKind>& optimizer_kinds() {
  static const std::vector<OptimizerKind> kinds = {
      {"adamw", "Adam with decoupled weight decay on every parameter", 8, make_adamw},
  };
  return kinds;
}

const OptimizerKind& optimizer_kind(const std::string& name) {
  std::string known;
  for (const auto& kind : optimizer_kinds()) {
    if (name == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw std::invalid_argument(
      fmt::format("optimizer.kind: unknown optimizer {}; choose one of {}", name, known));
}

}  // namespace uvic::app
