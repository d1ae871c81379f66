// The test runner: as the program does, it takes the cores that it may use and flushes denormals.
#define CATCH_CONFIG_RUNNER
#include "tests/support/catch.h"

#include <torch/torch.h>

int main(int argc, char** argv) {
  at::set_num_threads(2);
  at::globalContext().setFlushDenormal(true);
  return Catch::Session().run(argc, argv);
}
