#include "app/training/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "app/runs/checkpoint_list.h"
#include "app/training/cuda_step.h"
#include "app/training/ema.h"
#include "app/training/gradient_exchange.h"
#include "app/training/progress_text.h"
#include "app/training/step.h"
#include "base/clock.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

using base::Clock;

// What a log line says of the images since the last.
struct Window {
  double loss_sum = 0, norm_sum = 0;
  int64_t steps = 0, images = 0;
  Clock::time_point start = Clock::now();
};

class Trainer {
 public:
  Trainer(const RunConfig& config,
          data::BatchSource& batches,
          const Objective& objective,
          const Snapshots& snapshots,
          TrainState& state,
          const RunDir& run,
          const TrainingProcesses& processes)
      : config_(config),
        objective_(objective),
        snapshots_(snapshots),
        state_(state),
        run_(run),
        batches_(batches),
        group_(processes.group),
        elapsed_before_(state.elapsed_sec),
        saved_at_(state.images_seen),
        writes_(!group_ || group_->is_first()),
        device_(state.model->device()),
        line_(base::CountProgress("trained", objective.examples())
                  .of_terminal()
                  .from(state.images_seen)) {
    const auto dtype = base::compute_dtype(base::resolve_precision(config.precision, device_));
    state_.model->set_compute_dtype(dtype);
    state_.ema->set_compute_dtype(dtype);
    state_.model->train();
    state_.ema->eval();
    if (group_) {
      exchange_ = std::make_unique<GradientExchange>(*group_, state.parameters, processes.wire);
      if (writes_) run_.log(processes_text(*exchange_, state_.shares.get()));
    }
    on_gpu_ = make_cuda_step(config_, objective_, state_, exchange_.get());
  }

  void run() {
    const auto missing = missing_of_run();
    try {
      pause_for([&] {
        if (missing.weights) save_weights();
        show(missing.grid, missing.score && (group_ || !base::stop_requested()));
      });
      while (state_.images_seen < config_.total_images && !stops()) {
        const auto batch = batches_.next();
        const int64_t images_before = state_.images_seen;
        const double lr = learning_rate(config_.optimizer, images_before, config_.total_images);
        between_steps_ = false;
        step(batch, lr);
        report(images_before, lr);
        if (writes_)
          line_.show(static_cast<double>(state_.images_seen), config_.total_images, last_loss_);
      }
    } catch (const base::ProcessLost&) {
      // Steps change the whole state only once all processes have taken part.
      save_steps_so_far();
      throw;
    } catch (...) {
      // An image that can't be decoded, a grid that can't be written: the steps so far are sound.
      // An error inside a step leaves the last checkpoint.
      if (between_steps_) save_steps_so_far();
      throw;
    }
    if (state_.images_seen != saved_at_) save();  // stopped while a grid or score was made
  }

 private:
  /// Of a shared state the last checkpoint is what is left: a part of it is gone with its process.
  void save_steps_so_far() {
    if (!writes_ || state_.shares || state_.images_seen == saved_at_) return;
    save();
    run_.log(fmt::format("saved at {} {}", state_.images_seen, objective_.examples()));
  }

  /// With several processes what the last step's reports say: all end after the same step.
  bool stops() const { return group_ ? stop_agreed_ : base::stop_requested() != 0; }

  void step(const data::Batch& batch, double lr) {
    OptimizerStep update;
    update.lr = lr;
    update.ema_decay =
        app::ema_decay(config_.ema_decay,
                       config_.ema_rampup,
                       state_.images_seen + (group_ ? config_.batch_size : batch.size()),
                       config_.batch_size);
    update.number = state_.step + 1;
    const auto prepared = objective_.prepare(batch);
    if (on_gpu_) {
      on_gpu_->run(prepared, update);
      if (exchange_) take_reports(exchange_->agree(own_report(0)));  // the loss is in its totals
    } else {
      const auto on_device = prepared.to(device_);
      const StepLayout layout{config_.accumulate, config_.shards};
      const double loss =
          exchange_
              ? add_gradients_of_all(on_device, layout)
              : add_gradients(objective_, *state_.model, state_.parameters, on_device, layout);
      require_finite(loss, state_.images_seen);
      try {
        window_.norm_sum += state_.update(update);
      } catch (const NotFinite&) {
        if (group_) group_->check_gpu();
        throw_diverged("the gradient's norm", state_.images_seen);
      }
      window_.loss_sum += loss;
      since_save_.loss_sum += loss;
    }
    const int64_t images = group_ ? config_.batch_size : batch.size();
    state_.step = update.number;
    state_.images_seen += images, window_.images += images;
    state_.update_power_averages(images);
    ++window_.steps;
    ++since_save_.steps;
    state_.elapsed_sec = elapsed_before_ + base::seconds_since(start_) - aside_sec_;
  }

  /// The gradient of the whole batch, of which this process has a slice, and its loss.
  double add_gradients_of_all(const data::Batch& slice, const StepLayout& layout) {
    const int64_t count = objective_.counts_examples()
                              ? config_.batch_size
                              : exchange_->sum_of_counts(objective_.count(slice));
    const double loss = add_gradients(objective_,
                                      *state_.model,
                                      state_.parameters,
                                      slice,
                                      layout,
                                      std::max<int64_t>(1, count),
                                      [&] { exchange_->send_during_backward(); });
    return take_reports(exchange_->finish(own_report(loss)));
  }

  PartReport own_report(double loss) const {
    return {loss, base::stop_requested(), writes_ && time_to_save()};
  }

  double take_reports(const std::vector<PartReport>& reports) {
    double loss = 0;
    for (size_t rank = 0; rank < reports.size(); ++rank) {
      loss += reports[rank].loss;
      if (!std::isfinite(reports[rank].loss))
        throw_diverged(fmt::format("the loss of rank {}", rank), state_.images_seen);
      if (reports[rank].stop_signal != 0 && !stop_agreed_) agree_to_stop(rank, reports[rank]);
    }
    save_agreed_ = reports[0].saves;
    return loss;
  }

  void agree_to_stop(size_t rank, const PartReport& report) {
    stop_agreed_ = true;
    if (base::stop_requested() == 0) base::request_stop(static_cast<int>(report.stop_signal));
    if (writes_)
      run_.log(fmt::format("rank {} was sent signal {} ({}): all stop after this step",
                           rank,
                           report.stop_signal,
                           strsignal(static_cast<int>(report.stop_signal))));
  }

  /// What follows a step: a log line, a checkpoint, a grid, a score, where they are due.
  void report(int64_t images_before, double lr) {
    const bool last = state_.images_seen >= config_.total_images || stops();
    const auto due = [&](int64_t interval) {
      return interval > 0 && (last || crosses(interval, images_before, state_.images_seen));
    };
    const bool samples = due(config_.grid_images), scores = due(config_.score_images);
    const bool saves = due(config_.checkpoint_images),
               saves_state = !saves && (group_ ? save_agreed_ : time_to_save());
    if (!writes_) {
      between_steps_ = true;
      if (saves) save();
      if (saves_state) save_state();
      return show(samples && !stops(), scores && !stops());
    }
    const bool logs = last || due(config_.log_images);
    // Not where a signal ends a launch: its lines are those of a run that was not ended.
    const bool looks = crosses(config_.attention_stats_images, images_before, state_.images_seen);
    const bool first = !logs && !first_step_logged_;
    const bool estimates = !logs && !first && time_to_estimate();
    // The host waits for the steps under way on a GPU here alone.
    if (logs || looks || saves || samples || scores || first || saves_state || estimates)
      take_totals();
    between_steps_ = true;
    if (first) log_first_step();
    if (!first_step_logged_) first_step_end_ = Clock::now();
    first_step_logged_ = true;
    if (estimates) log_estimate();
    estimated_ = estimated_ || estimates || logs;
    if (logs) log_progress(lr);
    pause_for([&] {
      if (looks) snapshots_.look();  // before a state that says it was done
      if (saves) save();
      if (saves_state) save_state();
      show(samples && !stops(), scores && !stops());
      if (saves || scores) prune();
    });
  }

  /// A grid and a score, by the processes whose work they are.
  void show(bool samples, bool scores) const {
    if (!samples && !scores) return;
    const bool here = writes_ || snapshots_.is_shared();
    state_.with_whole_average(here, [&] {
      if (samples && here) snapshots_.sample_grid();
      if (scores && here && (group_ || !base::stop_requested())) snapshots_.score();
    });
  }

  /// What the first process finds missing in the folder.
  MissingSnapshots missing_of_run() const {
    auto missing = writes_ ? missing_snapshots(config_, state_, run_) : MissingSnapshots();
    if (!group_) return missing;
    const auto flags =
        torch::tensor({int64_t{missing.grid}, int64_t{missing.score}, int64_t{missing.weights}});
    group_->broadcast(flags);
    missing.grid = flags[0].item<int64_t>() != 0;
    missing.score = flags[1].item<int64_t>() != 0;
    missing.weights = flags[2].item<int64_t>() != 0;
    return missing;
  }

  /// Weights that --keep does not keep.
  void prune() const {
    std::string removed;
    for (const auto& file : prune_checkpoints(run_, parse_keep(config_.keep), config_.batch_size))
      removed += fmt::format("{}{}", removed.empty() ? "" : ", ", file.images_seen);
    if (!removed.empty())
      run_.log(fmt::format("--keep {}: removed the weights of {} images", config_.keep, removed));
  }

  void take_totals() {
    if (group_) group_->check_gpu();  // what is lost on its way is saved by nobody
    if (!on_gpu_) return;             // each step has added its own
    const auto totals = on_gpu_->take();
    require_finite(totals.loss + totals.norm, state_.images_seen);
    window_.loss_sum += totals.loss;
    since_save_.loss_sum += totals.loss;
    window_.norm_sum += totals.norm;
    if (const auto note = on_gpu_->note(); writes_ && !note.empty()) run_.log(note);
  }

  void require_finite(double loss, int64_t images_seen) const {
    if (!std::isfinite(loss)) throw_diverged("the loss", images_seen);
  }

  [[noreturn]] void throw_diverged(const std::string& what, int64_t images_seen) const {
    if (!writes_) group_->throw_of_others();  // all see the same; the first says it
    app::throw_diverged(run_, what, images_seen);
  }

  bool time_to_save() const {
    return config_.checkpoint_minutes > 0 &&
           base::seconds_since(saved_time_) >= 60 * config_.checkpoint_minutes;
  }

  /// The time of a step is known after the first, long before the first progress line is due.
  void log_first_step() {
    run_.log(first_step_text(progress(), base::seconds_since(window_.start), window_.images));
  }

  Progress progress() const {
    return {state_.images_seen, config_.total_images, objective_.examples()};
  }

  /// The first step warms up: some more of them say better how long all will take.
  bool time_to_estimate() const {
    constexpr double kSeconds = 5;
    return !estimated_ && first_step_logged_ && window_.steps > 1 &&
           base::seconds_since(first_step_end_) >= kSeconds;
  }

  void log_estimate() {
    estimated_ = true;
    const auto images = static_cast<double>(window_.images - config_.batch_size);
    run_.log(estimate_text(progress(), images / base::seconds_since(first_step_end_)));
  }

  void log_progress(double lr) {
    const double rate = static_cast<double>(window_.images) / base::seconds_since(window_.start);
    const double loss = window_.loss_sum / static_cast<double>(window_.steps);
    const double norm = window_.norm_sum / static_cast<double>(window_.steps);
    const double memory = base::resident_mib();
    last_loss_ = fmt::format("loss {:.4f}", loss);
    run_.log(progress_text(progress(), loss, rate, memory));
    run_.append_stats({{"images_seen", state_.images_seen},
                       {"step", state_.step},
                       {"loss", loss},
                       {"lr", lr},
                       {"grad_norm", norm},
                       {"images_per_sec", rate},
                       {"elapsed_sec", state_.elapsed_sec},
                       {"memory_mib", memory}});
    window_ = {};
  }

  void save() {
    save_state();
    save_weights();
  }

  /// Of a shared state all processes give what they have; otherwise the first has it.
  void save_weights() const {
    if (writes_)
      snapshots_.save_weights();
    else if (state_.shares)
      state_.save_power_averages({}, {}), state_.save_weights({}, {});
  }

  void save_state() {
    take_totals();  // which throws rather than saves what has diverged
    if (!writes_) {
      if (state_.shares) state_.save({}, {});
      saved_at_ = state_.images_seen;
      return;
    }
    if (since_save_.steps > 0)
      state_.loss = since_save_.loss_sum / static_cast<double>(since_save_.steps);
    if (std::isfinite(state_.loss)) state_.lowest_loss = std::min(state_.lowest_loss, state_.loss);
    since_save_ = {};
    snapshots_.save_state();
    saved_at_ = state_.images_seen;
    saved_time_ = Clock::now();
  }

  /// Grids, scores and checkpoints are not training time.
  template <class Work>
  void pause_for(Work&& work) {
    const auto begin = Clock::now();
    work();
    aside_sec_ += base::seconds_since(begin);
    window_.start += Clock::now() - begin;
  }

  const RunConfig& config_;
  const Objective& objective_;
  const Snapshots& snapshots_;
  TrainState& state_;
  const RunDir& run_;
  data::BatchSource& batches_;
  base::ProcessGroup* group_;
  std::unique_ptr<GradientExchange> exchange_;
  std::unique_ptr<CudaStep> on_gpu_;
  Window window_, since_save_;
  Clock::time_point saved_time_ = Clock::now(), first_step_end_;
  const Clock::time_point start_ = Clock::now();
  double elapsed_before_, aside_sec_ = 0;
  int64_t saved_at_;
  const bool writes_;  ///< the run's folder
  bool stop_agreed_ = false, save_agreed_ = false;
  bool first_step_logged_ = false, estimated_ = false, between_steps_ = true;
  torch::Device device_;
  base::CountProgress line_;
  std::string last_loss_;
};

}  // namespace

void train(const RunConfig& config,
           data::BatchSource& batches,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run,
           const TrainingProcesses& processes) {
  Trainer(config, batches, objective, snapshots, state, run, processes).run();
}

}  // namespace uvic::app
