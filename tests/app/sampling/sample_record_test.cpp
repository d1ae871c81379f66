// What decides on a sample's bits is in the record of its folder, and a folder of other samples is
// refused.
#include "app/sampling/sample_record.h"

#include <filesystem>
#include <tuple>

#include "app/commands/convert.h"
#include "app/sampling/sample_folder.h"
#include "app/sampling/sample_provenance.h"
#include "data/formats/json.h"
#include "data/formats/torch_pickle.h"
#include "tests/app/small_uvit.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using nlohmann::json;
using test::Scratch;

namespace {

struct RecordedSamples {
  SampleSource source;
  std::optional<SampleSource> guide;
  GenerationSettings settings;
  std::string precision = "fp32";
  torch::Device device = torch::kCPU;

  json record() const { return sample_record(source, guide, settings, precision, device); }
};

void change_field(bool& value, const base::Field&) { value = !value; }
/// Another of the known words, where they are known.
void change_field(std::string& value, const base::Field& field) {
  for (const auto& choice : field.choices())
    if (choice.name != value) {
      value = choice.name;
      return;
    }
  value += "x";
}
void change_field(std::vector<std::string>& value, const base::Field&) { value.emplace_back("x"); }
template <class Number>
void change_field(Number& value, const base::Field&) {
  value += 1;
}

bool always(const std::string&) { return true; }

/// Every field of the part, changed alone, changes the record exactly if `decides`.
template <class Part>
void check_each_field(const char* what, Part part, bool (*decides)(const std::string&) = always) {
  RecordedSamples plain;
  plain.guide.emplace();
  int fields = 0;
  base::visit_leaves(part(plain), [&](const std::string&, auto&, const base::Field&) { ++fields; });
  REQUIRE(fields > 0);
  for (int changed = 0; changed < fields; ++changed) {
    auto other = plain;
    int index = 0;
    std::string name;
    base::visit_leaves(part(other),
                       [&](const std::string& leaf, auto& value, const base::Field& field) {
                         if (index++ == changed) change_field(value, field), name = leaf;
                       });
    INFO(what << " " << name);
    CHECK((other.record() != plain.record()) == decides(name));
  }
}

/// Of the sections of a network, those of a U-ViT, without the choice of memory and of fresh
/// weights, and without the place of class tokens, of which these networks have none.
bool decides_on_uvit(const std::string& name) {
  return name.find('.') == std::string::npos && name != "use_checkpoint" && name != "init" &&
         name != "base_width" && name != "class_tokens_from";
}

/// Not the terms of the loss that are younger than the record.
bool decides_on_diffusion(const std::string& name) {
  return name.rfind("dispersive_", 0) != 0 && name.rfind("alignment_", 0) != 0;
}

SampleFolder record_folder(const Scratch& scratch, const RecordedSamples& sampled) {
  return SampleFolder(scratch / "s", sampled.record(), "seeds", {});
}

}  // namespace

TEST_CASE("sample record: every setting of network, schedule, sampler and guidance is in it",
          "[sample_record]") {
  check_each_field(
      "model",
      [](RecordedSamples & s) -> auto& { return s.source.training.model; },
      decides_on_uvit);
  check_each_field(
      "diffusion",
      [](RecordedSamples & s) -> auto& { return s.settings.diffusion; },
      decides_on_diffusion);
  check_each_field(
      "sampler", [](RecordedSamples & s) -> auto& { return s.settings.sampler; });
  check_each_field(
      "guidance", [](RecordedSamples & s) -> auto& { return s.settings.guidance; });
  check_each_field(
      "guide",
      [](RecordedSamples & s) -> auto& { return s.guide->training.model; },
      decides_on_uvit);
  check_each_field(
      "guide",
      [](RecordedSamples & s) -> auto& { return s.guide->training.diffusion; },
      decides_on_diffusion);
  const RecordedSamples plain;
  // The record of a network without options that came later is that of the versions before.
  for (const auto* later :
       {"class_tokens", "class_tokens_from", "patch_bottleneck", "augment_dim", "fusion"})
    CHECK_FALSE(plain.record()["model"].contains(later));
  CHECK_FALSE(plain.record()["diffusion"].contains("dispersive_loss"));
  auto other = plain;
  other.source.training.model.uvit.class_tokens = 4;
  CHECK(other.record()["model"]["class_tokens"] == 4);
  CHECK(other.record()["model"]["class_tokens_from"] == 4);
  other = plain;
  other.precision = "bf16";
  CHECK(other.record() != plain.record());
  other = plain, other.device = torch::kCUDA;
  CHECK(other.record() != plain.record());
  other = plain, other.source.weights_sha256 = "1";
  CHECK(other.record() != plain.record());
  other = plain, other.guide.emplace();
  CHECK(other.record() != plain.record());
}

TEST_CASE("sample folder: samples of other settings are refused with the setting's name",
          "[sample_record]") {
  const Scratch scratch;
  RecordedSamples plain;
  plain.guide.emplace();
  record_folder(scratch, plain).open(SeedList::parse("0-3"), false);
  const auto refused = [&](const char* what, auto change_it) {
    auto other = plain;
    change_it(other);
    CHECK_THROWS_WITH(record_folder(scratch, other).open(SeedList::parse("0-3"), false),
                      Contains(what));
  };
  refused("another model.attention (\"cog\", now \"softmax\")",
          [](auto& s) { s.source.training.model.uvit.attention = "softmax"; });
  refused("another model.num_heads", [](auto& s) { s.source.training.model.uvit.num_heads += 1; });
  refused("another diffusion.beta_1", [](auto& s) { s.settings.diffusion.beta_1 = 30; });
  refused("another sampler_options.eta", [](auto& s) { s.settings.sampler.eta += 0.5; });
  refused("another guide_model.placement",
          [](auto& s) { s.guide->training.model.uvit.placement = "all"; });
  refused("another device (\"cpu\", now \"cuda\")", [](auto& s) { s.device = torch::kCUDA; });
  refused("another guide_sha256", [](auto& s) { s.guide.reset(); });
  // Records of versions that did not say on which device.
  const auto file = scratch / "s" / "samples.json";
  auto record = formats::read_json(file);
  for (const auto* key : {"device", "instruction_set"}) record.erase(key);
  formats::write_json(file, record);
  CHECK(record_folder(scratch, plain).open(SeedList::parse("0-3"), false).size() == 4);
}

TEST_CASE("sample folder: a record with fields of other types is refused by the field",
          "[sample_record]") {
  const Scratch scratch;
  const RecordedSamples plain;
  record_folder(scratch, plain).open(SeedList::parse("0-3"), false);
  const auto file = scratch / "s" / "samples.json";
  const auto good = formats::read_json(file);
  for (const auto& [key, value, fault] :
       {std::tuple("seeds", json(5), "samples.json: \"seeds\": it is of type number, want a text"),
        std::tuple("seeds", json("0-"), "samples.json: \"seeds\": no list of seeds"),
        std::tuple("missing", json::array(), "samples.json: \"missing\": it is of type array"),
        std::tuple("grid", json("yes"), "samples.json: \"grid\": it is of type string")}) {
    auto record = good;
    record[key] = value;
    formats::write_json(file, record);
    CHECK_THROWS_WITH(record_folder(scratch, plain).open(SeedList::parse("0-3"), false),
                      Contains(fault));
  }
}

TEST_CASE("sample text: a count that is none is refused by its name", "[sample_record]") {
  diffusion::SamplerConfig sampler;
  diffusion::GuidanceConfig guidance;
  const json sample = {{"seed", 3U}, {"sampler_options", json::object()}, {"repeats", 2U}};
  CHECK(request_like(sample, "a.png", sampler, guidance).repeats == 2);
  for (const json& other : {json(1.5), json(1e300), json(-1), json("2")}) {
    auto changed = sample;
    changed["repeats"] = other;
    CHECK_THROWS_WITH(request_like(changed, "a.png", sampler, guidance),
                      Contains("a.png: its uvic.sample holds no usable \"repeats\""));
  }
}

TEST_CASE("samples: what was assumed of a config is kept with them, a bare file says what to do",
          "[sample_record]") {
  const Scratch scratch;
  ConvertOptions options;  // of the official code's small network on latents
  options.in = std::filesystem::path(UVIC_GOLDEN_DIR) / "app" / "20.ckpt";
  options.out = scratch / "a.safetensors";
  options.network.shapes.num_heads = 2;
  options.network.shapes.num_clip_token = 3;
  options.network.shapes.attention = "cog";
  const auto converted = run_convert(options);
  REQUIRE(converted.network.assumed.size() > 3);
  EncoderConfig encoders;
  encoders.latent_scale = 0.18215;
  const auto source = open_sample_source("", (scratch / "a.safetensors").string(), "", encoders);
  CHECK(source.assumed == converted.network.assumed);
  const auto record = sample_record(source, source, {}, "fp32", torch::kCPU);
  CHECK(record.at("assumed") == converted.network.assumed);
  CHECK(record.at("guide_assumed") == converted.network.assumed);
  CHECK_FALSE(sample_record({}, {}, {}, "fp32", torch::kCPU).contains("assumed"));

  formats::write_pth(scratch / "bare.pth", test::small_uvit());  // shapes of no published network
  CHECK_THROWS_WITH(
      open_sample_source("", (scratch / "bare.pth").string(), ""),
      Contains("pass --config, or \"uvic convert") &&
          Contains(
              "bare.pth NAME.safetensors --num_heads N\" writes a file that holds its config"));
}
