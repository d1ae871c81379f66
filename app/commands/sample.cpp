#include "app/commands/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "app/commands/sample_like.h"
#include "app/commands/sample_text.h"
#include "app/options/assets.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/network_source.h"
#include "app/runs/processes.h"
#include "app/runs/run_config.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/generate.h"
#include "app/sampling/prompt_list.h"
#include "app/sampling/sample_folder.h"
#include "app/sampling/sample_output.h"
#include "app/sampling/sample_provenance.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/sample_subject.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/text_format.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

using base::Clock;

constexpr int64_t kStepsToInvert = 100;

SubjectOptions subject_options(const SampleOptions& options) {
  SubjectOptions subject;
  subject.seeds = options.seeds;
  subject.labels = options.labels;
  subject.init = options.init;
  subject.invert = options.invert;
  subject.mask = options.mask;
  subject.interpolate = options.interpolate;
  subject.frames = options.frames;
  subject.strength = options.strength;
  subject.repeats = options.repeats;
  subject.prompts = read_prompts(options.prompt, options.prompts);
  return subject;
}

GenerationSettings settings_of(const SampleOptions& options,
                               const SampleSource& source,
                               GenerationMode mode) {
  GenerationSettings settings{source.training.diffusion, options.sample, options.guidance};
  settings.mode = mode;
  settings.strength = options.strength;
  settings.repeats = options.repeats;
  settings.trajectory_frames = options.trajectory ? options.trajectory_frames : 0;
  settings.validate();
  if (options.guide.empty())
    check_guidance(options.guidance, source.training);
  else
    base::require(options.guidance.guidance_scale != 1,
                  "--guide: with guidance_scale 1 it changes nothing; give another scale, such as "
                  "--guidance_scale 2");
  return settings;
}

/// Generates the images of a list, batch by batch, into a folder.
class SampleLaunch {
 public:
  SampleLaunch(model::Network& network,
               const GenerationSettings& settings,
               const SampleSubject& subject,
               const SampleProvenance& provenance,
               const SeedList& ids,
               SampleFolder& folder,
               bool says_progress)
      : network_(network),
        settings_(settings),
        subject_(subject),
        provenance_(provenance),
        ids_(ids),
        folder_(folder),
        says_progress_(says_progress) {}

  /// Ends early once a signal came; what is done until then is recorded.
  void run(int64_t batch_size) {
    const KeepRecordings keep_recordings;
    try {
      while (done_ < ids_.size()) {
        if (base::stop_requested()) throw base::StopRequested();
        const auto batch = ids_.slice(done_, done_ + static_cast<uint64_t>(batch_size));
        const auto request = subject_.request(batch);
        const auto generated =
            generate(network_, settings_, request, [&](int64_t step, int64_t steps) {
              if (base::stop_requested()) throw base::StopRequested();
              show(batch.size(), step, steps);
            });
        write_images(folder_.path(), batch, generated, [&](size_t i) {
          std::optional<int64_t> label;
          if (!request.labels.empty()) label = request.labels[i];
          return provenance_.texts(batch[i], label, subject_.prompt(batch[i]));
        });
        folder_.add(batch);
        done_ += batch.size();
        if (says_progress_)
          progress_.show(static_cast<double>(done_), static_cast<int64_t>(ids_.size()));
      }
    } catch (const base::StopRequested&) {
      stopped_ = true;
    }
  }

  int64_t done() const { return static_cast<int64_t>(done_); }
  bool was_stopped() const { return stopped_; }
  double elapsed() const { return base::seconds_since(start_); }

 private:
  /// Within a batch the share of its steps counts.
  void show(size_t batch, int64_t step, int64_t steps) {
    if (!says_progress_ || !progress_.is_due()) return;
    const double share = steps > 0 ? static_cast<double>(step) / static_cast<double>(steps) : 0;
    progress_.show(static_cast<double>(done_) + share * static_cast<double>(batch),
                   static_cast<int64_t>(ids_.size()),
                   fmt::format("step {}{} of the next {}",
                               step,
                               steps > 0 ? fmt::format(" of {}", steps) : "",
                               batch));
  }

  model::Network& network_;
  const GenerationSettings& settings_;
  const SampleSubject& subject_;
  const SampleProvenance& provenance_;
  const SeedList& ids_;
  SampleFolder& folder_;
  const bool says_progress_;
  base::CountProgress progress_{"generated", "images"};
  const Clock::time_point start_ = Clock::now();
  uint64_t done_ = 0;
  bool stopped_ = false;
};

/// What is still to be generated, and of that the part of this process. The first process opens the
/// folder, the others then find it as theirs.
struct SampleWork {
  SeedList missing, own;
};

SampleWork open_shared_folder(SampleFolder& folder,
                              const SeedList& ids,
                              bool overwrite,
                              base::ProcessGroup* group) {
  SampleWork work;
  if (!group || group->is_first()) work.missing = folder.open(ids, overwrite);
  if (!group) {
    work.own = work.missing;
    return work;
  }
  if (const auto text = group->broadcast(work.missing.text()); !text.empty())
    work.missing = SeedList::parse(text);
  const auto [begin, end] = group->part_of(static_cast<int64_t>(work.missing.size()));
  work.own = work.missing.part(static_cast<uint64_t>(begin), static_cast<uint64_t>(end));
  if (!group->is_first()) folder.open(work.own, overwrite);
  return work;
}

/// Generates the parts of all processes. Returns how many images were generated in all, or nothing
/// where a signal stopped one of them.
std::optional<int64_t> generate_all(SampleLaunch& launch,
                                    int64_t batch_size,
                                    SampleFolder& folder,
                                    base::ProcessGroup* group) {
  launch.run(batch_size);
  int64_t done = launch.done();
  const bool stopped = any_stopped(group, launch.was_stopped());
  if (group) done = group->gather(torch::tensor({done})).sum().item<int64_t>();
  if (!group || group->is_first()) {
    folder.add_time(done, launch.elapsed());
    if (stopped) folder.finish(nlohmann::json::object());
  }
  if (stopped) return std::nullopt;
  return done;
}

/// The sheet and the reconstruction errors: what follows the last image.
void finish(const SampleOptions& options, const SampleSubject& subject, SampleFolder& folder) {
  if (options.grid) write_sheet(folder.path(), subject);
  nlohmann::json more = nlohmann::json::object();
  if (subject.mode() == GenerationMode::kInvert)
    more["reconstruction"] = reconstruction_errors(folder, subject);
  folder.finish(more);
  if (more.empty()) return;
  fmt::print("reconstruction: RMSE {:.3f} of 255 (worst image {:.3f})\n",
             more["reconstruction"]["rmse_of_255"].get<double>(),
             more["reconstruction"]["worst_rmse_of_255"].get<double>());
}

void print_samplers() {
  fmt::print("Samplers (--sample.sampler NAME):\n");
  for (const auto& info : diffusion::samplers())
    fmt::print("  {:<18} {}\n  {:<18} {}{}; usual grid {}\n",
               info.name,
               info.help,
               "",
               info.paper,
               info.stochastic ? "; adds noise along the way" : "",
               info.default_grid);
  fmt::print("\nPublished recipes (--preset NAME):\n");
  for (const auto& preset : diffusion::sampler_presets())
    fmt::print("  {:<24} {}\n", preset.name, preset.help);
}

}  // namespace

void SampleOptions::validate() const {
  base::check_fields(*this);
  if (run.empty() && weights.empty())
    throw std::invalid_argument("sample: give --run FOLDER or --weights FILE");
  if (!run.empty() && !config.empty())
    throw std::invalid_argument(
        "sample: --config describes weights without a run; --run has its own");
  if (out.empty()) throw std::invalid_argument("--out is missing; give the folder of the images");
  if (!init.empty() + !interpolate.empty() + !invert.empty() > 1)
    throw std::invalid_argument("--init, --interpolate, --invert: give one of them");
  if (!mask.empty() && init.empty())
    throw std::invalid_argument("--mask: needs --init, the images that it masks");
  if (!interpolate.empty() && !seeds.empty())
    throw std::invalid_argument("--interpolate names its two seeds; leave out --seeds");
  if (!guide_config.empty() && guide.empty())
    throw std::invalid_argument("--guide_config: needs --guide, the weights that it describes");
  formats::refuse_flag_as_path(out);
  sample.validate();
  guidance.validate();
}

bool run_sample(const SampleOptions& options) {
  options.validate();
  auto* const group = start_processes(options.processes, options.threads);
  const bool is_first = !group || group->is_first();
  base::catch_stop_signals();
  const auto device = device_of_process(group, options.device);
  const auto precision = base::resolve_precision(options.precision, device);
  const auto dtype = base::compute_dtype(precision);
  const auto source =
      open_sample_source(options.run, options.weights, options.config, options.encoders);
  const auto chosen = subject_options(options);
  check_text(chosen, source.training.model.input());
  auto settings = settings_of(options, source, mode_of(chosen));
  const auto encoders = open_encoders(source, device, dtype, settings);
  const SampleSubject subject(chosen, source, encoders.image_size, encoders.text);
  if (is_first) keep_encoders(options.run, source.training.encoders);
  std::optional<SampleSource> guide;
  if (!options.guide.empty()) {
    guide = open_guide(options.guide, options.guide_config, source);
    settings.guide =
        std::make_shared<Guide>(Guide{guide->network(device, dtype), guide->training.diffusion});
  }
  const auto network = source.network(device, dtype);

  auto record = sample_record(source, guide, settings, precision, device);
  record["run"] = options.run;
  if (encoders.text) record["text"] = encoders.text->record();
  subject.add_to(record);
  const auto record_of_all = record;
  const SampleProvenance provenance(record_of_all, source, subject.ids_key());
  if (is_first) note_differences(options, provenance);
  SampleFolder folder(options.out,
                      std::move(record),
                      subject.ids_key(),
                      {options.trajectory, subject.mode() == GenerationMode::kInvert, options.grid},
                      options.remedy);
  if (group) group->require_same({{"request", request_text(record_of_all) + subject.ids().text()}});
  const auto work = open_shared_folder(folder, subject.ids(), options.overwrite, group);
  const auto there = subject.ids().size() - work.missing.size();
  if (is_first && there > 0)
    base::say_progress(fmt::format("{} of {} images already exist", there, subject.ids().size()));

  SampleLaunch launch(*network, settings, subject, provenance, work.own, folder, is_first);
  const auto done = generate_all(launch, options.batch_size, folder, group);
  if (!done) return false;
  if (!is_first) return true;
  if (*done > 0)
    base::say_progress(fmt::format("{} images in {:.1f} s, {:.2f} images/s",
                                   *done,
                                   launch.elapsed(),
                                   static_cast<double>(*done) / launch.elapsed()));
  finish(options, subject, folder);
  return true;
}

void add_sample_command(CLI::App& app) {
  auto given = std::make_shared<SampleOptions>();
  auto* command =
      app.add_subcommand("sample", "Generate images from a trained run, one PNG for each seed");
  add_fields(*command, *given);
  show_default(*command, {"guidance_", "sample."}, "the run's");
  for (const auto& [option, needed] : {std::pair("--strength", "--init"),
                                       {"--repeats", "--mask"},
                                       {"--frames", "--interpolate"},
                                       {"--trajectory_frames", "--trajectory"}})
    command->get_option(option)->needs(command->get_option(needed));
  command->callback([given, command, &app] {
    if (given->list) return print_samplers();
    // default < the training's config < what the mode wants < --like < preset < command line
    require_weights_of_like(*given);
    SampleOptions options;
    if (!given->run.empty() || !given->weights.empty()) {
      const auto training = training_of_source(given->run, given->weights, given->config);
      options.sample = training.sample;
      options.guidance = training.guidance;
      if (training.is_of_sequences()) {
        base::require(given->like.empty(),
                      "--like: repeats an image, and these weights generate text");
        refuse_image_options(given_options(app, *command));
        apply_given(*command, options);
        options.prompt = given->prompt;
        if (!run_sample_text(options)) fmt::print(stderr, "stopped\n");
        return;
      }
    }
    if (!given->mask.empty()) options.strength = 1;
    if (!given->invert.empty()) {
      // The first step away from an image is the hard one: times must be dense there.
      options.sample.grid = "logsnr";
      options.sample.steps = kStepsToInvert;
    }
    if (!given->like.empty()) take_like(*given, options);
    if (!given->preset.empty()) {
      const auto& preset = diffusion::sampler_presets().at(given->preset);
      options.sample = preset.config;
      options.guidance.guidance_scale = preset.guidance_scale;
    }
    if (!given->invert.empty()) options.guidance.guidance_scale = 1;
    const auto prompt = options.prompt;
    apply_given(*command, options);
    options.prompt = given->prompt.empty() && given->prompts.empty() ? prompt : given->prompt;
    try {
      const bool finished = run_sample(options);
      if (const auto* group = base::process_group(); group && !group->is_first()) return;
      if (json_is_asked()) print_json(formats::read_json(fs::path(options.out) / "samples.json"));
      if (finished) return;
    } catch (const base::StopRequested&) {
    }
    fmt::print(stderr, "stopped; the same command generates what is missing\n");
  });
}

}  // namespace uvic::app
