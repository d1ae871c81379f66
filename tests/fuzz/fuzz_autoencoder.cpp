#include "model/latent/autoencoder_file.h"

#include "model/latent/clip_text.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A folder of weights with config.json: a KL autoencoder or CLIP's text encoder, by any names.
UVIC_FUZZ_TARGET(autoencoder) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  fuzz::Attempts attempt;
  attempt([&] {
    const auto file = model::open_autoencoder_file(folder.path());
    file.config.text();
    model::autoencoder_json(file.config);
  });
  attempt([&] { model::is_autoencoder(folder.path()); });
  attempt([&] {
    if (model::is_clip_text(folder.path())) {
      std::string notes;
      model::ClipText::open(folder.path());
    }
  });
  attempt([&] {
    model::AutoencoderKlConfig config;
    for (const auto& [name, content] : fuzz::files_of(bytes))
      if (name == "config.json") model::apply_autoencoder_json(content, name, config);
    config.validate();
  });
  attempt.finish();
}
