// The test runner: as the program does, it takes the cores that it may use, flushes denormals and
// computes in float32 where it says so.
#define CATCH_CONFIG_RUNNER
#include "base/torch.h"
#include "tests/support/catch.h"

int main(int argc, char** argv) {
  at::set_num_threads(2);
  at::globalContext().setFlushDenormal(true);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  return Catch::Session().run(argc, argv);
}
