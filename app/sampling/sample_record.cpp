#include "app/sampling/sample_record.h"

#include "app/options/fields_json.h"
#include "app/runs/network_options.h"
#include "model/kernels/cpu/isa.h"

namespace uvic::app {
namespace {

/// Without terms of the loss that came later than the first records, and that only training reads:
/// records of the same samples stay the same.
nlohmann::json diffusion_record(const diffusion::DiffusionConfig& config) {
  auto record = fields_json(config);
  for (const auto* option : {"dispersive_loss",
                             "dispersive_block",
                             "dispersive_group",
                             "dispersive_tau",
                             "alignment_loss",
                             "alignment_block",
                             "alignment_target",
                             "alignment_time"})
    record.erase(option);
  return record;
}

}  // namespace

nlohmann::json sample_record(const SampleSource& source,
                             const std::optional<SampleSource>& guide,
                             const GenerationSettings& settings,
                             const std::string& precision,
                             torch::Device device) {
  nlohmann::json record = {{"checkpoint", source.weights.string()},
                           {"checkpoint_sha256", source.weights_sha256},
                           {"images_seen", source.images_seen},
                           {"model", network_record(source.training.model)},
                           {"diffusion", diffusion_record(settings.diffusion)},
                           {"sampler", settings.sampler.sampler},
                           {"steps", settings.sampler.steps},
                           {"nfe", settings.evaluations()},
                           {"sampler_options", fields_json(settings.sampler)},
                           {"class_names", source.class_names},
                           {"precision", precision},
                           {"device", device.is_cuda() ? "cuda" : "cpu"},
                           {"version", UVIC_VERSION}};
  if (device.is_cpu()) record["instruction_set"] = model::isa_name(model::active_isa());
  record.update(fields_json(settings.guidance));
  if (!source.assumed.empty()) record["assumed"] = source.assumed;
  if (settings.latent) record["latent"] = settings.latent->record();
  if (guide) {
    record["guide"] = guide->weights.string();
    record["guide_sha256"] = guide->weights_sha256;
    record["guide_model"] = network_record(guide->training.model);
    record["guide_diffusion"] = diffusion_record(guide->training.diffusion);
    if (!guide->assumed.empty()) record["guide_assumed"] = guide->assumed;
  }
  return record;
}

std::string request_text(nlohmann::json record) {
  for (const auto* path : {"checkpoint", "run", "init", "mask", "invert", "guide"})
    record.erase(path);
  return record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace uvic::app
