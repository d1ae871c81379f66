// uvic sample: images from a trained run, one PNG for each seed; from noise, from given images, or
// between two seeds.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "app/runs/encoder_config.h"
#include "app/sampling/generate_text.h"
#include "base/field.h"
#include "base/process_group.h"
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
  std::vector<std::string> prompt;
  std::string prompts;
  EncoderConfig encoders;
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
  std::string like;
  base::ProcessOptions processes;
  TextSettings text;
  diffusion::SamplerConfig sample;
  /// What an error proposes where --out holds something else; no option.
  std::string remedy = "choose another --out or pass --overwrite";
  /// What the image of --like says of itself, JSON; no option.
  std::string like_record = {};

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run; its config describes the network"});
    visit(
        "config",
        config,
        Field{"Training config of --weights, where there is no --run; empty: the one that the file "
              "carries, NAME.toml next to it, or the published network of these shapes"});
    visit(
        "weights",
        weights,
        Field{"Weights to sample from, .safetensors, .pth or a folder of the official code; empty: "
              "the run's latest EMA weights"});
    visit(
        "out",
        out,
        Field{"Folder of the images: 000000.png by seed, folders of a thousand past ten thousand"});
    visit("seeds",
          seeds,
          Field{"Seeds of the images, such as 0-63,100; an image depends only on its seed. Empty: "
                "0-63, or with --init or --invert one for each image there, at most 64"});
    visit(
        "labels",
        labels,
        Field{"Classes by number or name, such as 3 or cat,dog, or none (the null class), assigned "
              "in turn by seed; empty: all, or those of the images of --init and --invert"});
    visit(
        "prompt",
        prompt,
        Field{
            "What to show, for a network with text; once or several times, assigned in turn by "
            "seed. For a language model the one text that it continues (numbers of tokens, if its "
            "weights come without a run)"});
    visit("prompts",
          prompts,
          Field{"File of prompts, one a line or a JSON list, instead of --prompt"});
    encoders.fields(visit);
    guidance.fields(visit);
    visit(
        "guide",
        guide,
        Field{
            "Autoguidance: weaker weights, or their run folder; --guidance_scale is then relative "
            "to them and not to the null class"}
            .advanced());
    visit(
        "guide_config",
        guide_config,
        Field{"Training config of the weights of --guide; empty: what they carry, or else that of "
              "the guided network"}
            .advanced());
    visit(
        "init",
        init,
        Field{
            "Images to start from, assigned in turn by seed: an image file, or a source as --data "
            "takes"});
    visit("strength",
          strength,
          Field{"How much noise --init gets before sampling: near 0 the image hardly changes, at 1 "
                "nothing of it is left (with --mask the default is 1)",
                base::above(0, 1)});
    visit("mask",
          mask,
          Field{"Image, or folder with one for each of --init: white is generated anew, black is "
                "kept, grey blends"});
    visit("repeats",
          repeats,
          Field{"How often each step is repeated with --mask: more repeats fit the new parts "
                "better to the kept ones, at the cost of as many evaluations",
                base::from(1, 1000)}
              .advanced());
    visit("interpolate",
          interpolate,
          Field{"Two seeds, such as 3-17: frames on the way between their noises"});
    visit("frames",
          frames,
          Field{"Frames of --interpolate, both ends included", base::from(2, 10000)});
    visit("invert",
          invert,
          Field{"Images, as --init takes, to run through the ODE to their noise and back; unless "
                "given, guidance_scale is 1, sample.grid logsnr, sample.steps 100"});
    visit(
        "trajectory",
        trajectory,
        Field{
            "Also write SEED_trajectory.png, the way from noise as a film strip: x_t above the x0 "
            "that is predicted from it"});
    visit("trajectory_frames",
          trajectory_frames,
          Field{"The most frames of that strip", base::from(2, 1000)}.advanced());
    visit("batch_size",
          batch_size,
          Field{"Images generated at once; changes speed and memory, never an image",
                base::from(1, base::kMostAtOnce)});
    visit("precision", precision, base::precision_field("Precision of the network"));
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
    visit("grid", grid, Field{"Also write grid.png, the first images on one sheet"});
    visit("overwrite",
          overwrite,
          Field{"Generate again what already exists, even if settings differ"});
    visit("list", list, Field{"Explain every sampler and stop"});
    visit("preset",
          preset,
          Field{"A published recipe instead of the run's sampler settings; --list names them"});
    visit(
        "like",
        like,
        Field{
            "Generate this PNG of uvic sample again: takes seed, class or prompt, sampler and "
            "guidance from it, and needs --run or --weights; options that are given override it"});
    processes.fields(visit);
    text.fields(visit);
    visit("sample", sample, "");
  }
  /// Throws std::invalid_argument where options contradict each other.
  void validate() const;
};

/// Generates what is missing. Returns false if a signal stopped it; the same call goes on from
/// there. Several processes each generate a part into the one folder, which all must reach.
bool run_sample(const SampleOptions& options);

void add_sample_command(CLI::App& app);

}  // namespace uvic::app
