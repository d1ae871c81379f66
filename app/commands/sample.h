// uvic sample: pictures from a trained run, one PNG for each seed; from noise, from given pictures,
// or between two seeds.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

#include "app/sampling/sample_folder.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"

namespace uvic::app {

struct SampleOptions {
  std::string run;
  std::string config;
  std::string weights;
  std::string out;
  std::string seeds;
  std::string labels;
  diffusion::GuidanceConfig guidance;
  std::string guide;
  std::string guide_config;
  std::string init;
  double strength = 0.6;
  std::string mask;
  int64_t repeats = 1;
  std::string interpolate;
  int64_t frames = 9;
  std::string invert;
  bool trajectory = false;
  int64_t trajectory_frames = 10;
  int64_t batch_size = 64;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;
  bool grid = true;
  bool overwrite = false;
  bool list = false;
  std::string preset;
  diffusion::SamplerConfig sample;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("run", run, "Folder of the run; its config describes the network");
    visit("config",
          config,
          "Training config of --weights, where there is no --run; empty: the one that the file "
          "carries, NAME.toml beside it, or the published network of these shapes");
    visit("weights",
          weights,
          "Weights to draw from, .safetensors, .pth or a folder of the official code; empty: the "
          "run's latest EMA weights");
    visit("out",
          out,
          "Folder of the pictures: 000000.png by seed, folders per thousand past ten thousand");
    visit("seeds",
          seeds,
          "Which pictures, as 0-63,100; a picture depends on its seed alone. Empty: 0-63, or with "
          "--init or --invert one for each picture there, at most 64");
    visit("labels",
          labels,
          "Classes by number or name, as 3 or cat,dog, or none (the null class), dealt out by "
          "seed; empty: all in turn, or those of the pictures of --init and --invert");
    guidance.fields(visit);
    visit("guide",
          guide,
          "Autoguidance: weaker weights, or their run folder; --guidance_scale then weighs against "
          "them and not against the null class");
    visit("guide_config",
          guide_config,
          "Training config of the weights of --guide; empty: what they carry, or else that of what "
          "is guided");
    visit("init",
          init,
          "Pictures to start from, dealt out by seed: a picture file, or a source as --data takes");
    visit("strength",
          strength,
          "How far --init is noised before sampling: near 0 it stays, 1 forgets it (with --mask "
          "the default is 1)");
    visit("mask",
          mask,
          "Picture, or folder with one for each of --init: white is drawn anew, black is kept, "
          "grey blends");
    visit("repeats",
          repeats,
          "Times that each step is taken with --mask: more fit the drawn to the kept, and cost as "
          "many evaluations");
    visit("interpolate", interpolate, "Two seeds, as 3-17: frames on the way between their noises");
    visit("frames", frames, "Frames of --interpolate, both ends among them");
    visit(
        "invert",
        invert,
        "Pictures, as --init takes, to run through the ODE to their noise and back; unless given, "
        "guidance_scale is 1, sample.grid logsnr, sample.steps 100");
    visit("trajectory",
          trajectory,
          "Also write SEED_trajectory.png, the way from noise as a film strip: x_t above the x0 "
          "that is predicted from it");
    visit("trajectory_frames", trajectory_frames, "Frames of that strip at most");
    visit("batch_size",
          batch_size,
          "Pictures drawn at once; changes speed and memory, never a picture");
    visit("precision", precision, "auto | bf16 | fp32");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
    visit("grid", grid, "Also write grid.png, the first pictures on one sheet");
    visit("overwrite", overwrite, "Draw again what stands there already, also with other settings");
    visit("list", list, "Explain every sampler and stop");
    visit("preset",
          preset,
          "A published recipe in place of the run's sampler settings; --list names them");
    visit("sample", sample, "");
  }
  /// Throws std::invalid_argument where options contradict each other.
  void validate() const;
};

/// Draws what is missing. Returns false if a signal stopped it; the same call goes on from there.
bool run_sample(const SampleOptions& options);

void add_sample_command(CLI::App& app);

}  // namespace uvic::app
