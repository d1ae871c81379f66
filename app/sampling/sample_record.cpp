#include "app/sampling/sample_record.h"

#include "model/kernels/cpu/isa.h"

namespace uvic::app {
namespace {

/// Every field of an options struct, by its name.
template <class Config>
nlohmann::json fields_of(Config config) {
  auto record = nlohmann::json::object();
  base::visit_leaves(config, [&](const std::string& name, auto& value, const base::Field&) {
    record[name] = value;
  });
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
                           {"model", fields_of(source.training.model)},
                           {"diffusion", fields_of(settings.diffusion)},
                           {"sampler", settings.sampler.sampler},
                           {"steps", settings.sampler.steps},
                           {"nfe", settings.evaluations()},
                           {"sampler_options", fields_of(settings.sampler)},
                           {"class_names", source.class_names},
                           {"precision", precision},
                           {"device", device.is_cuda() ? "cuda" : "cpu"},
                           {"version", UVIC_VERSION}};
  if (device.is_cpu()) record["instruction_set"] = model::isa_name(model::active_isa());
  record.update(fields_of(settings.guidance));
  if (settings.latent) record["latent"] = settings.latent->record();
  if (guide) {
    record["guide"] = guide->weights.string();
    record["guide_sha256"] = guide->weights_sha256;
    record["guide_model"] = fields_of(guide->training.model);
    record["guide_diffusion"] = fields_of(guide->training.diffusion);
  }
  return record;
}

std::string request_text(nlohmann::json record) {
  for (const auto* path : {"checkpoint", "run", "init", "mask", "invert", "guide"})
    record.erase(path);
  return record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace uvic::app
