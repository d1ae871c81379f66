#include "app/commands.h"

#include "app/bench/bench.h"
#include "app/compare.h"
#include "app/convert.h"
#include "app/dataset.h"
#include "app/fid.h"
#include "app/inspect.h"
#include "app/predict.h"
#include "app/runtime.h"
#include "app/sample.h"
#include "app/sweep.h"
#include "app/train.h"
#include "app/train_features.h"

namespace uvic::app {

void add_commands(CLI::App& app) {
  add_train_command(app);
  add_sample_command(app);
  add_fid_command(app);
  add_compare_command(app);
  add_sweep_command(app);
  add_bench_command(app);
  add_convert_command(app);
  add_inspect_command(app);
  add_predict_command(app);
  add_dataset_command(app);
  add_train_features_command(app);
}

int exit_code() { return stop_requested() ? 128 + stop_requested() : 0; }

}  // namespace uvic::app
