// uvic sweep: Fréchet distance against network evaluations, sampler by sampler, on one trained run.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

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
    visit("run", run, "Folder of the run");
    visit("ref", ref, "Reference pictures, or statistics (.npz)");
    visit(
        "out", out, "Folder of samples, sweep.json, sweep.md, sweep.svg; the same command resumes");
    visit("samplers",
          samplers,
          "Samplers, each with options of its own after colons, as ddim,dpm_solver_pp:order=3; or "
          "all");
    visit("evaluations", evaluations, "Network evaluations for each picture, as 5,10,20,50,100");
    visit("count", count, "Pictures drawn for each point, seeds 0, 1, ...");
    visit("num_ref", num_ref, "Use that many reference pictures; 0: all, at most 10000");
    visit(
        "guidance_scale", guidance_scale, "w, see uvic sample; it doubles the cost, not the count");
    visit("extractor", extractor, "Feature network of the distance: embedded | inception");
    visit("inception", inception, "Path of the FID Inception weights");
    visit("batch_size", batch_size, "Pictures drawn at once; changes speed, never a picture");
    visit("precision", precision, "auto | bf16 | fp32");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
    visit("overwrite",
          overwrite,
          "Draw again what stands in --out already, also with other settings or weights");
  }
  /// Throws std::invalid_argument, before any work, on a sampler or count that can't be.
  void validate() const;
};

/// Draws and scores what is missing. Returns what sweep.json holds: "name" (of the distance),
/// "points" (sampler, evaluations, distance, images_per_sec), count, reference, checkpoint. Returns
/// null if a signal stopped it.
nlohmann::json run_sweep(const SweepOptions& options);

void add_sweep_command(CLI::App& app);

}  // namespace uvic::app
