// uvic sweep: Fréchet distance against network evaluations, sampler by sampler, on one trained run.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/field.h"

namespace uvic::app {

struct SweepOptions {
  std::string run;
  std::string ref = "procedural";
  std::string out;
  std::string samplers = "ddpm,ddim,heun,dpm_solver,dpm_solver_pp,dpm_solver_pp_sde,unipc";
  std::string evaluations = "5,10,20,50";
  int64_t count = 256;
  int64_t num_ref = 0;
  double guidance_scale = 1;
  std::string extractor = "embedded";
  std::string inception;
  int64_t batch_size = 64;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run"});
    visit("ref", ref, Field{"Reference images, or statistics (.npz)"});
    visit("out",
          out,
          Field{"Folder of samples, sweep.json, sweep.md, sweep.svg; the same command resumes"});
    visit("samplers",
          samplers,
          Field{"Samplers, each with options of its own after colons, as "
                "ddim,dpm_solver_pp:order=3; or all"});
    visit(
        "evaluations", evaluations, Field{"Network evaluations for each image, as 5,10,20,50,100"});
    visit("count",
          count,
          Field{"Images generated for each point, seeds 0, 1, ...", base::from(2, 4294967296.0)});
    visit("num_ref",
          num_ref,
          Field{"Use that many reference images; 0: all, at most 10000",
                base::from(0, base::kMostCount)});
    visit("guidance_scale",
          guidance_scale,
          Field{"w, see uvic sample; it doubles the cost, not the count", base::from(-1000, 1000)});
    visit("extractor", extractor, Field{"Feature network of the distance: embedded | inception"});
    visit("inception", inception, Field{"Path of the FID Inception weights"}.advanced());
    visit("batch_size",
          batch_size,
          Field{"Images generated at once; changes speed, never an image",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("precision", precision, base::precision_field("Precision of the network").advanced());
    visit("device", device, base::device_field().advanced());
    visit("threads", threads, base::threads_field());
    visit("overwrite",
          overwrite,
          Field{"Generate again what --out holds, also with other settings or weights"});
  }
  /// Throws std::invalid_argument, before any work, on a sampler or count that can't be.
  void validate() const;
};

/// Samples and scores what is missing. Returns what sweep.json holds: "name" (of the distance),
/// "points" (sampler, evaluations, distance, images_per_sec), count, reference, checkpoint. Returns
/// null if a signal stopped it.
nlohmann::json run_sweep(const SweepOptions& options);

void add_sweep_command(CLI::App& app);

}  // namespace uvic::app
