#include "app/watch/sample_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "app/runs/network_source.h"
#include "app/sampling/generate.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/sample_provenance.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/sample_subject.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "data/formats/image_file.h"

namespace uvic::app {

using nlohmann::json;

namespace {

std::string png_of(const formats::Image& image, const std::vector<formats::ImageText>& texts = {}) {
  const auto bytes = formats::encode_png(image, texts);
  return {bytes.begin(), bytes.end()};
}

/// Thrown out of the sampler.
struct SampleCancelled {};

std::string weights_name(int64_t images_seen) {
  return fmt::format("{:09d}.safetensors", images_seen);
}

}  // namespace

struct SampleDesk::Job {
  std::string id;
  SampleAsk ask;
  std::filesystem::path folder;
  std::string run_name, state = "waiting", fault;
  int64_t step = 0, steps = 0;
  std::vector<std::string> images, frames;
  std::vector<uint64_t> seeds;
  std::atomic<bool> is_cancelled{false};

  bool is_over() const { return state != "waiting" && state != "running"; }
};

/// A network that was opened, and what opens it again.
struct SampleDesk::Subject {
  std::filesystem::path folder;
  int64_t checkpoint = 0;
  FileMark mark;
  SampleSource source;
  model::NetworkPtr network;
};

SampleDesk::SampleDesk(RunSet& runs, Options options, SampleLimits limits)
    : runs_(runs), options_(std::move(options)), limits_(limits) {
  // Both throw here, and not for each request.
  base::choose_device(options_.device);
  base::set_up_process(options_.threads);
  thread_ = std::thread([this] { work(); });
}

SampleDesk::~SampleDesk() {
  is_stopping_ = true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& job : jobs_) job->is_cancelled = true;
  }
  changed_.notify_all();
  thread_.join();
}

json SampleDesk::choices(const std::string& id) const {
  const auto run = runs_.find(id);
  if (!run) return nullptr;
  auto checkpoints = json::array(), samplers = json::array();
  for (const auto& name : numbered_names(run->folder(), "weights", ".safetensors", 1000))
    checkpoints.push_back(number_of_name(name));
  for (const auto& info : diffusion::samplers()) samplers.push_back(info.name);
  const auto config = run->config();
  const auto number = [&](const char* key, double absent) {
    return config.contains(key) ? std::strtod(config[key].get<std::string>().c_str(), nullptr)
                                : absent;
  };
  auto classes = run->class_names();
  const auto count = static_cast<int64_t>(number("model.num_classes", 0));
  for (auto i = static_cast<int64_t>(classes.size()); i < std::min<int64_t>(count, 2000); ++i)
    classes.push_back(i + 1 == count && number("label_dropout", 0) > 0 ? "none"
                                                                       : std::to_string(i));
  return {{"checkpoints", std::move(checkpoints)},
          {"classes", std::move(classes)},
          {"text", number("model.clip_dim", 0) > 0},
          {"sampler", config.value("sample.sampler", "unipc")},
          {"steps", std::min(number("sample.steps", 20), static_cast<double>(limits_.steps))},
          {"guidance", number("guidance_scale", 1)},
          {"samplers", std::move(samplers)},
          {"most_steps", limits_.steps},
          {"most_images", limits_.images}};
}

std::optional<std::string> SampleDesk::add(const SampleAsk& ask) {
  const auto run = runs_.find(ask.run);
  base::require(run != nullptr, "run: no run has this id");
  base::require(mark_inside(run->folder(), {"weights", weights_name(ask.checkpoint)}).size >= 0,
                "checkpoint: {} keeps no weights of {} images",
                run->name(),
                ask.checkpoint);
  const auto job = std::make_shared<Job>();
  job->ask = ask;
  job->folder = run->folder();
  job->run_name = run->name();
  {
    const std::lock_guard lock(mutex_);
    const auto is_open = [](const auto& other) { return !other->is_over(); };
    if (static_cast<size_t>(std::count_if(jobs_.begin(), jobs_.end(), is_open)) >= limits_.waiting)
      return std::nullopt;
    while (jobs_.size() >= limits_.kept + limits_.waiting) jobs_.pop_front();
    job->id = fmt::format("j{}", ++count_);
    jobs_.push_back(job);
    tell(*job);
  }
  changed_.notify_all();
  return job->id;
}

bool SampleDesk::cancel(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto job = find(id);
  if (!job) return false;
  job->is_cancelled = true;
  if (job->state != "waiting") return true;  // the sampler ends it
  job->state = "cancelled";
  tell(*job);
  return true;
}

std::shared_ptr<SampleDesk::Job> SampleDesk::find(const std::string& id) const {
  for (const auto& job : jobs_)
    if (job->id == id) return job;
  return nullptr;
}

json SampleDesk::json_of(const Job& job) const {
  int64_t ahead = 0;
  for (const auto& other : jobs_) {
    if (other->id == job.id) break;
    ahead += !other->is_over();
  }
  return {{"id", job.id},
          {"state", job.state},
          {"ahead", ahead},
          {"step", job.step},
          {"steps", job.steps},
          {"frames", job.frames.size()},
          {"images", job.images.size()},
          {"seeds", job.seeds},
          {"fault", job.fault},
          {"run", job.ask.run},
          {"run_name", job.run_name},
          {"checkpoint", job.ask.checkpoint},
          {"label", job.ask.label},
          {"prompt", job.ask.prompt},
          {"sampler", job.ask.sampler},
          {"guidance", job.ask.guidance}};
}

void SampleDesk::tell(const Job& job) const {
  runs_.events().add("job", json_of(job).dump(-1, ' ', false, json::error_handler_t::replace));
}

json SampleDesk::job(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = find(id);
  return found ? json_of(*found) : json();
}

json SampleDesk::jobs() const {
  const std::lock_guard lock(mutex_);
  auto list = json::array();
  for (const auto& job : jobs_) list.push_back(json_of(*job));
  return list;
}

std::optional<std::string> SampleDesk::image(const std::string& id, size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto job = find(id);
  if (!job || number >= job->images.size()) return std::nullopt;
  return job->images[number];
}

std::optional<std::string> SampleDesk::frame(const std::string& id, size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto job = find(id);
  if (!job || number >= job->frames.size()) return std::nullopt;
  return job->frames[number];
}

void SampleDesk::work() {
  // Settings of a thread: its number of threads, denormals.
  base::set_up_process(options_.threads);
  while (!is_stopping_) {
    std::shared_ptr<Job> next;
    {
      std::unique_lock lock(mutex_);
      for (const auto& job : jobs_)
        if (!next && job->state == "waiting") next = job;
      if (!next) {
        changed_.wait_for(lock, std::chrono::milliseconds(200));
        continue;
      }
      next->state = "running";
      tell(*next);
    }
    std::string end = "done", fault;
    try {
      generate_job(*next);
    } catch (const SampleCancelled&) {
      end = "cancelled";
    } catch (const c10::Error& error) {
      end = "failed", fault = error.what_without_backtrace();
    } catch (const std::exception& error) {
      end = "failed", fault = error.what();
    }
    const std::lock_guard lock(mutex_);
    next->state = end;
    next->fault = fault;
    tell(*next);
  }
}

std::shared_ptr<SampleDesk::Subject> SampleDesk::open_subject(const Job& job) {
  const auto name = weights_name(job.ask.checkpoint);
  const auto mark = mark_inside(job.folder, {"weights", name});
  for (const auto& subject : subjects_)
    if (subject->folder == job.folder && subject->checkpoint == job.ask.checkpoint &&
        subject->mark == mark)
      return subject;
  constexpr size_t kMostOpen = 2;  // as many as are compared
  while (subjects_.size() >= kMostOpen) subjects_.erase(subjects_.begin());
  const torch::Device device(base::choose_device(options_.device));
  const auto dtype = base::compute_dtype(base::resolve_precision(options_.precision, device));
  auto source =
      open_sample_source(job.folder.string(), (job.folder / "weights" / name).string(), "");
  auto network = source.network(device, dtype);
  subjects_.push_back(std::make_shared<Subject>(
      Subject{job.folder, job.ask.checkpoint, mark, std::move(source), std::move(network)}));
  return subjects_.back();
}

void SampleDesk::generate_job(Job& job) {
  const auto subject = open_subject(job);
  const auto& source = subject->source;
  const torch::Device device(base::choose_device(options_.device));
  const auto precision = base::resolve_precision(options_.precision, device);
  GenerationSettings settings{source.training.diffusion, source.training.sample, {}};
  if (settings.sampler.sampler != job.ask.sampler) {
    settings.sampler = {};
    settings.sampler.sampler = job.ask.sampler;
  }
  settings.sampler.steps = job.ask.steps;
  settings.guidance.guidance_scale = job.ask.guidance;
  settings.trajectory_frames = std::max<int64_t>(2, std::min(limits_.frames, job.ask.steps + 1));
  settings.validate();
  check_guidance(settings.guidance, source.training);
  SubjectOptions wanted;
  wanted.seeds = fmt::format("{}-{}", job.ask.seed, job.ask.seed + job.ask.images - 1);
  wanted.labels = job.ask.label;
  if (source.training.model.input().takes_context()) wanted.prompts = {job.ask.prompt};
  const auto encoders = open_encoders(source, device, base::compute_dtype(precision), settings);
  const SampleSubject samples(wanted, source, encoders.image_size, encoders.text);
  auto record = sample_record(source, {}, settings, precision, device);
  record["run"] = job.folder.string();
  if (encoders.text) record["text"] = encoders.text->record();
  samples.add_to(record);
  const SampleProvenance provenance(record, source, samples.ids_key());
  const auto seeds = samples.ids().slice(0, samples.ids().size());
  const auto request = samples.request(seeds);
  const FrameSeen frame_seen = [&](int64_t, const torch::Tensor& predictions) {
    auto png = png_of(image_grid(predictions.cpu()));
    const std::lock_guard lock(mutex_);
    job.frames.push_back(std::move(png));
  };
  const auto show_step = [&](int64_t step, int64_t steps) {
    if (job.is_cancelled) throw SampleCancelled();
    const std::lock_guard lock(mutex_);
    job.step = step, job.steps = steps;
    tell(job);
  };
  const auto generated = generate(*subject->network, settings, request, show_step, frame_seen);
  std::vector<std::string> images;
  const auto planes = to_images(generated.images);
  for (size_t i = 0; i < planes.size(); ++i) {
    std::optional<int64_t> label;
    if (!request.labels.empty()) label = request.labels[i];
    images.push_back(
        png_of(planes[i], provenance.texts(seeds[i], label, samples.prompt(seeds[i]))));
  }
  auto last = png_of(image_grid(generated.images));
  const std::lock_guard lock(mutex_);
  job.frames.push_back(std::move(last));
  job.images = std::move(images);
  job.seeds = seeds;
}

}  // namespace uvic::app
