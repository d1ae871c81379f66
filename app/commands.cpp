#include "app/commands.h"

#include "app/runtime.h"
#include "app/sample.h"
#include "app/train.h"

namespace uvic::app {

void add_commands(CLI::App& app) {
  add_train_command(app);
  add_sample_command(app);
}

int exit_code() { return stop_requested() ? 128 + stop_requested() : 0; }

}  // namespace uvic::app
