// The runner of tests that go without LibTorch.
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.h"
