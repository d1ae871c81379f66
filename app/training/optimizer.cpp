#include "app/training/optimizer.h"

#include "app/training/adamw.h"

namespace uvic::app {

base::Table<OptimizerKind>& optimizer_kinds() {
  static base::Table<OptimizerKind> kinds(
      "optimizer.kind",
      {
          {"adamw", "Adam with decoupled weight decay on every parameter", 8, make_adamw},
      });
  return kinds;
}

std::vector<base::Choice> optimizer_choices() { return optimizer_kinds().choices(); }

}  // namespace uvic::app
