// What uvic predict, sample and score say of a language model beyond their results.
#include <cmath>
#include <filesystem>

#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/model/golden_rule.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic;
using Catch::Matchers::Contains;
using test::check_refused_after_notes;
using test::run_uvic;
using test::Scratch;
using Words = std::vector<std::string>;
using test::operator+;

namespace {

constexpr int64_t kLlamaVocabulary = 20, kLlamaWidth = 16;

/// A Llama-like network of one layer that was trained on up to 8 tokens.
void write_llama(const fs::path& folder, bool broken = false) {
  fs::create_directories(folder);
  formats::TensorFile file;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    file.tensors[name] = test::golden_weight(name, shape);
  };
  const std::string layer = "model.layers.0.";
  add("model.embed_tokens.weight", {kLlamaVocabulary, kLlamaWidth});
  for (const auto* name : {"input_layernorm", "post_attention_layernorm"})
    add(layer + name + ".weight", {kLlamaWidth});
  for (const auto* part : {"q", "k", "v", "o"})
    add(layer + "self_attn." + part + "_proj.weight", {kLlamaWidth, kLlamaWidth});
  add(layer + "mlp.gate_proj.weight", {24, kLlamaWidth});
  add(layer + "mlp.up_proj.weight", {24, kLlamaWidth});
  add(layer + "mlp.down_proj.weight", {kLlamaWidth, 24});
  add("model.norm.weight", {kLlamaWidth});
  add("lm_head.weight", {kLlamaVocabulary, kLlamaWidth});
  if (broken) file.tensors["model.norm.weight"][3] = NAN;
  formats::write_safetensors(folder / "model.safetensors", file);
  formats::write_json(folder / "config.json",
                      {{"model_type", "llama"},
                       {"num_attention_heads", 2},
                       {"max_position_embeddings", 8},
                       {"rms_norm_eps", 1e-5},
                       {"rope_parameters", {{"rope_theta", 500.0}, {"rope_type", "default"}}}});
}

}  // namespace

TEST_CASE("sequences longer than those of the training are said", "[sequences]") {
  const Scratch scratch;
  const auto at = [&](const char* name) { return (scratch / name).string(); };
  write_llama(scratch / "llama");
  const auto predict = [&](int64_t length) {
    formats::write_npy(scratch / "x.npy", torch::arange(length).unsqueeze(0));
    return run_uvic({"predict",
                     "--weights",
                     at("llama"),
                     "--input",
                     at("x.npy"),
                     "--output",
                     at("logits.npy")});
  };
  CHECK_THAT(predict(8).err, !Contains("note:"));
  const auto longer = predict(9);
  CHECK(longer.exit_code == 0);
  CHECK_THAT(longer.err, Contains("9 tokens, the network was trained on up to 8"));
  CHECK_THAT(longer.err, !Contains("rope_theta"));  // config.json has it

  const Words sample = {"sample", "--weights", at("llama"), "--prompt", "1 2 3"};
  CHECK_THAT(run_uvic(sample + Words{"--max_tokens", "5"}).err, !Contains("note:"));
  CHECK_THAT(run_uvic(sample + Words{"--max_tokens", "6"}).err,
             Contains("the longest text, with its prompt: 9 tokens"));
  check_refused_after_notes(run_uvic(sample + Words{"--guidance_scale", "3"}),
                            2,
                            "--guidance_scale: for networks of images");
}

TEST_CASE("a network whose logits are not finite is no source of texts", "[sequences]") {
  const Scratch scratch;
  write_llama(scratch / "broken", /*broken=*/true);
  const auto weights = (scratch / "broken").string();
  for (const auto* temperature : {"0", "1"})
    check_refused_after_notes(
        run_uvic({"sample", "--weights", weights, "--prompt", "1", "--temperature", temperature}),
        1,
        "the logits of the network are not finite");
  formats::write_npy(scratch / "data.npy", torch::arange(100).remainder(kLlamaVocabulary));
  const auto scored =
      run_uvic({"score", "--weights", weights, "--data", (scratch / "data.npy").string()});
  CHECK_THAT(scored.err, Contains("warning: ") && Contains("the loss is not finite"));
}

TEST_CASE("weights without a config that are not the guessed network are refused by name",
          "[sequences]") {
  const Scratch scratch;
  write_llama(scratch / "llama");
  auto file = formats::read_safetensors(scratch / "llama/model.safetensors");
  file.tensors["model.layers.0.self_attn.q_norm.weight"] = torch::ones({8});
  formats::write_safetensors(scratch / "other.safetensors", file);
  formats::write_npy(scratch / "x.npy", torch::arange(4).unsqueeze(0));
  check_refused_after_notes(run_uvic({"predict",
                                      "--weights",
                                      (scratch / "other.safetensors").string(),
                                      "--num_heads",
                                      "2",
                                      "--input",
                                      (scratch / "x.npy").string(),
                                      "--output",
                                      (scratch / "logits.npy").string()}),
                            2,
                            "not the weights of the network guessed from the shapes: "
                            "model.layers.0.self_attn.q_norm.weight");
}
