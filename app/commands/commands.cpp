#include "app/commands/commands.h"

#include "app/bench/bench.h"
#include "app/commands/attention.h"
#include "app/commands/average.h"
#include "app/commands/compare.h"
#include "app/commands/completion.h"
#include "app/commands/compress.h"
#include "app/commands/convert.h"
#include "app/commands/dataset.h"
#include "app/commands/encode.h"
#include "app/commands/fid.h"
#include "app/commands/grid.h"
#include "app/commands/inspect.h"
#include "app/commands/manual.h"
#include "app/commands/predict.h"
#include "app/commands/sample.h"
#include "app/commands/score.h"
#include "app/commands/sweep.h"
#include "app/commands/train.h"
#include "app/commands/train_autoencoder.h"
#include "app/commands/train_features.h"
#include "app/commands/watch.h"
#include "app/runs/version.h"
#include "base/process.h"

namespace uvic::app {

void add_commands(CLI::App& app) {
  app.set_version_flag("--version", version_text);
  add_train_command(app);
  add_sample_command(app);
  add_score_command(app);
  add_fid_command(app);
  add_compare_command(app);
  add_watch_command(app);
  add_attention_command(app);
  add_sweep_command(app);
  add_grid_command(app);
  add_bench_command(app);
  add_convert_command(app);
  add_average_command(app);
  add_compress_command(app);
  add_inspect_command(app);
  add_predict_command(app);
  add_dataset_command(app);
  add_encode_command(app);
  add_train_features_command(app);
  add_train_autoencoder_command(app);
  add_completion_command(app);
  add_man_command(app);
}

int exit_code() { return base::stop_requested() ? 128 + base::stop_requested() : 0; }

}  // namespace uvic::app
