// The options of noise schedule, training target and loss.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/field.h"

namespace uvic::diffusion {

/// The rows of the tables that the fields choose from.
std::vector<base::Choice> schedule_choices();
std::vector<base::Choice> prediction_choices();
std::vector<base::Choice> loss_weight_choices();
std::vector<base::Choice> timestep_sampling_choices();

/// The `diffusion` section of a config. A network is used with the values that it was trained with.
struct DiffusionConfig {
  std::string schedule = "vp_linear";
  double beta_0 = 0;
  double beta_1 = 0;
  int64_t diffusion_steps = 1000;
  double cosine_s = 0.008;
  double sigma_min = 0.002;
  double sigma_max = 80;
  double sigma_data = 0.5;
  double time_scale = 0;
  double time_offset = 0;
  std::string prediction = "eps";
  std::string loss_weight = "simple";
  double min_snr_gamma = 5;
  std::string timestep_sampling = "uniform";
  double logit_mean = 0;
  double logit_std = 1;
  double log_sigma_mean = -1.2;
  double log_sigma_std = 1.2;
  double time_shift = 1;
  double velocity_t_min = 0.05;
  double direction_loss = 0;
  double contrastive_loss = 0;
  double dispersive_loss = 0;
  int64_t dispersive_block = -1;
  int64_t dispersive_group = 32;
  double dispersive_tau = 1;
  double alignment_loss = 0;
  int64_t alignment_block = -1;
  int64_t alignment_target = -1;
  double alignment_time = 0.2;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("schedule", schedule, Field{"Noise schedule", schedule_choices()});
    visit("beta_0",
          beta_0,
          Field{"Noise rate at t = 0, per unit of t (a discrete schedule's first beta times "
                "diffusion_steps); 0: the published value",
                base::from(0, 1e6)}
              .read_by("vp_linear, ddpm_linear, scaled_linear"));
    visit("beta_1",
          beta_1,
          Field{"Noise rate at t = 1, per unit of t; 0: the published value", base::from(0, 1e6)}
              .read_by("vp_linear, ddpm_linear, scaled_linear"));
    visit("diffusion_steps",
          diffusion_steps,
          Field{"Length N of a discrete schedule", base::from(2, 1e6)}.read_by(
              "ddpm_linear, ddpm_cosine, scaled_linear"));
    visit("cosine_s",
          cosine_s,
          Field{"Offset s of the cosine schedules", base::inside(0, 1)}.read_by(
              "vp_cosine, ddpm_cosine"));
    visit("sigma_min",
          sigma_min,
          Field{"Noise level where sampling ends", base::above(0, 1e6)}.read_by("edm"));
    visit("sigma_max",
          sigma_max,
          Field{"Noise level where sampling starts", base::above(0, 1e9)}.read_by("edm"));
    visit("sigma_data",
          sigma_data,
          Field{"Standard deviation of the data, for the edm schedule, prediction and loss weight",
                base::above(0, 1e6)}
              .read_by("edm"));
    visit("time_scale",
          time_scale,
          Field{"The network is given the time time_scale * t + time_offset (edm: log(sigma) / 4 "
                "instead of t); 0: 999 for vp_*, N for discrete schedules, else 1000",
                base::from(0, 1e9)}
              .advanced());
    visit("time_offset",
          time_offset,
          Field{"See time_scale; -1 suits networks trained on n = 0..N-1", base::from(-1e9, 1e9)}
              .advanced());
    visit("prediction", prediction, Field{"What the network predicts", prediction_choices()});
    visit("loss_weight",
          loss_weight,
          Field{"Weight of an example's squared error", loss_weight_choices()}.advanced());
    visit("min_snr_gamma",
          min_snr_gamma,
          Field{"Largest signal-to-noise ratio", base::above(0, 1e9)}.read_by("min_snr"));
    visit("timestep_sampling",
          timestep_sampling,
          Field{"Training times", timestep_sampling_choices()}.advanced());
    visit("logit_mean",
          logit_mean,
          Field{"Mean of log(t / (1 - t))", base::from(-100, 100)}.read_by("logit_normal"));
    visit("logit_std",
          logit_std,
          Field{"Standard deviation of log(t / (1 - t))", base::above(0, 100)}.read_by(
              "logit_normal"));
    visit("log_sigma_mean",
          log_sigma_mean,
          Field{"Mean of log(sigma / alpha)", base::from(-100, 100)}.read_by("log_normal"));
    visit("log_sigma_std",
          log_sigma_std,
          Field{"Standard deviation of log(sigma / alpha)", base::above(0, 100)}.read_by(
              "log_normal"));
    visit("time_shift",
          time_shift,
          Field{"Training times t become s t / (1 + (s - 1) t) with this s: above 1 more noise; 0: "
                "by resolution, sqrt(channels * height * width / 4096)",
                base::from(0, 1e6)}
              .advanced());
    visit("velocity_t_min",
          velocity_t_min,
          Field{"Smallest time by which an error of x0 is divided", base::above(0, 1)}.read_by(
              "velocity"));
    visit("direction_loss",
          direction_loss,
          Field{"Weight of 1 - cos(velocity, its target), the angle between channels; 0: off",
                base::from(0, 1e6)}
              .advanced());
    visit("contrastive_loss",
          contrastive_loss,
          Field{"Weight of a term that is subtracted from the loss: the squared distance to the "
                "target of another example (contrastive flow matching: 0.05); 0: off",
                base::below(0, 1)}
              .advanced());
    visit("dispersive_loss",
          dispersive_loss,
          Field{"Weight of a loss that pushes the activations of examples apart (0.25 to 0.5); 0: "
                "off",
                base::from(0, 1e6)}
              .advanced());
    visit("dispersive_block",
          dispersive_block,
          Field{"Block, counted from 0, whose output is pushed apart; -1: the middle one, or with "
                "route_share the last before the route",
                base::from(-1, 4096)}
              .read_by("dispersive_loss"));
    visit("dispersive_group",
          dispersive_group,
          Field{"Consecutive examples whose pairs count; divides batch_size",
                base::from(2, base::kMostAtOnce)}
              .read_by("dispersive_loss"));
    visit("dispersive_tau",
          dispersive_tau,
          Field{"Squared distance, over the numbers of an output, at which the push falls to 1/e",
                base::above(0, 1e6)}
              .read_by("dispersive_loss"));
    visit("alignment_loss",
          alignment_loss,
          Field{"Weight of a loss by which a block follows a later block of the average of the "
                "weights at less noise (self-alignment: 0.2); 0: off",
                base::from(0, 1e6)}
              .advanced());
    visit("alignment_block",
          alignment_block,
          Field{"Block, counted from 0, that follows; -1: the last of the first 2/7",
                base::from(-1, 4096)}
              .read_by("alignment_loss"));
    visit("alignment_target",
          alignment_target,
          Field{"Block of the average that is followed; -1: the last of the first 5/7",
                base::from(-1, 4096)}
              .read_by("alignment_loss"));
    visit("alignment_time",
          alignment_time,
          Field{"Most that the time of the average is earlier, uniform from 0", base::from(0, 1e6)}
              .read_by("alignment_loss"));
  }

  /// Throws std::invalid_argument that names the field, its value and the allowed values.
  void validate() const;
};

}  // namespace uvic::diffusion

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(
    uvic::diffusion::DiffusionConfig&);
