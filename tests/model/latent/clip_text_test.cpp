// CLIP's text encoder against OpenAI's code, by the features that
// tests/golden/model/make_clip_text.py made with it.
#include "model/latent/clip_text.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/product_kernels.h"
#include "tests/model/golden_rule.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using model::ClipText;
using NamedTensors = std::map<std::string, torch::Tensor>;
using Catch::Matchers::Contains;
using nlohmann::json;
using test::relative_l2;

namespace {

struct Shape {
  int64_t vocabulary = 50, positions = 9, width = 128, layers = 2;
};

/// The weights of make_clip_text.py, under OpenAI's names.
NamedTensors openai_weights(const Shape& s) {
  NamedTensors tensors;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const auto u = test::golden_uniform(name, shape);
    const bool is_norm = name.find("ln_") != std::string::npos;
    auto value = is_norm && name.find("weight") != std::string::npos ? 1 + 0.2 * u
                 : shape.size() == 1 || name.find("embed") != std::string::npos
                     ? 0.3 * u
                     : std::sqrt(3.0 / test::product(shape, 1)) * u;
    tensors[name] = value.to(torch::kFloat32);
  };
  add("token_embedding.weight", {s.vocabulary, s.width});
  add("positional_embedding", {s.positions, s.width});
  for (int64_t i = 0; i < s.layers; ++i) {
    const auto block = fmt::format("transformer.resblocks.{}.", i);
    for (const auto* norm : {"ln_1", "ln_2"}) {
      add(block + norm + ".weight", {s.width});
      add(block + norm + ".bias", {s.width});
    }
    add(block + "attn.in_proj_weight", {3 * s.width, s.width});
    add(block + "attn.in_proj_bias", {3 * s.width});
    add(block + "attn.out_proj.weight", {s.width, s.width});
    add(block + "attn.out_proj.bias", {s.width});
    add(block + "mlp.c_fc.weight", {4 * s.width, s.width});
    add(block + "mlp.c_fc.bias", {4 * s.width});
    add(block + "mlp.c_proj.weight", {s.width, 4 * s.width});
    add(block + "mlp.c_proj.bias", {s.width});
  }
  add("ln_final.weight", {s.width});
  add("ln_final.bias", {s.width});
  return tensors;
}

/// The same under Hugging Face's names.
NamedTensors hugging_face_weights(const NamedTensors& openai, const std::string& prefix) {
  NamedTensors tensors;
  const auto replaced = [](std::string name, const std::string& from, const std::string& to) {
    const auto at = name.find(from);
    if (at != std::string::npos) name.replace(at, from.size(), to);
    return name;
  };
  for (const auto& [name, tensor] : openai) {
    auto other = replaced(name, "transformer.resblocks", "encoder.layers");
    other = replaced(replaced(other, "ln_1", "layer_norm1"), "ln_2", "layer_norm2");
    other = replaced(replaced(other, "mlp.c_fc", "mlp.fc1"), "mlp.c_proj", "mlp.fc2");
    other = replaced(other, "attn.out_proj", "self_attn.out_proj");
    other = replaced(other, "ln_final", "final_layer_norm");
    if (name == "token_embedding.weight") other = "embeddings.token_embedding.weight";
    if (name == "positional_embedding") other = "embeddings.position_embedding.weight";
    const auto stacked = other.find("attn.in_proj_");
    if (stacked == std::string::npos) {
      tensors[prefix + other] = tensor;
      continue;
    }
    const auto parts = tensor.chunk(3);
    const char* letters[] = {"q", "k", "v"};
    for (int i = 0; i < 3; ++i)
      tensors[prefix + other.substr(0, stacked) + "self_attn." + letters[i] + "_proj." +
              other.substr(stacked + 13)] = parts[static_cast<size_t>(i)].clone();
  }
  return tensors;
}

void write_config(const std::filesystem::path& folder, const json& config) {
  std::ofstream(folder / "config.json") << config.dump();
}

torch::Tensor some_ids(const Shape& s, int64_t batch, int64_t length) {
  return ((test::golden_uniform("tokens", {batch, length}) + 1) / 2 * s.vocabulary)
      .to(torch::kInt64);
}

}  // namespace

TEST_CASE("clip: features are those of OpenAI's code", "[model][clip]") {
  std::ifstream stream(UVIC_GOLDEN_DIR "/model/clip_text.json");
  const auto cases = json::parse(stream);
  CHECK(cases.size() == 3);
  for (const auto& c : cases) {
    INFO(c["name"]);
    test::Scratch scratch;
    const Shape shape{c["vocabulary"], c["positions"], c["width"], c["layers"]};
    formats::write_safetensors(scratch / "model.safetensors", {openai_weights(shape), {}});
    if (c["name"] == "gelu")
      write_config(scratch.path(),
                   {{"hidden_size", shape.width},
                    {"num_attention_heads", c["heads"]},
                    {"hidden_act", "gelu"}});
    auto clip = ClipText::open(scratch.path());
    CHECK(clip.config().heads == c["heads"]);
    std::vector<torch::Tensor> rows;
    for (const auto& row : c["ids"]) rows.push_back(torch::tensor(row.get<std::vector<int64_t>>()));
    const auto tokens = torch::stack(rows);
    const auto wanted = torch::tensor(c["features"].get<std::vector<double>>());
    for (const bool fused : {true, false}) {
      INFO("fused " << fused);
      model::use_fused_kernels(fused);
      const auto got = clip.encode(tokens);
      model::use_fused_kernels(true);
      CHECK(got.sizes() == torch::IntArrayRef({3, c["length"], shape.width}));
      CHECK(std::abs(got.norm().item<double>() / c["norm"].get<double>() - 1) < 1e-5);
      CHECK(relative_l2(got.flatten().slice(0, 0, wanted.numel() * 5, 5), wanted) < 1e-5);
    }
    clip.to(torch::kCPU, torch::kFloat64);
    CHECK(relative_l2(clip.encode(tokens).flatten().slice(0, 0, wanted.numel() * 5, 5), wanted) <
          1e-5);
    clip.to(torch::kCPU, torch::kBFloat16);
    // Eight bits of mantissa: 2^-8 = 4e-3 for each rounding.
    CHECK(relative_l2(clip.encode(tokens).flatten().slice(0, 0, wanted.numel() * 5, 5), wanted) <
          2e-2);
  }
}

TEST_CASE("clip: every layout of names gives the same bits", "[model][clip]") {
  test::Scratch scratch;
  const Shape shape;
  const auto openai = openai_weights(shape);
  const auto ids = some_ids(shape, 3, 9);
  formats::write_safetensors(scratch / "openai.safetensors", {openai, {}});
  const auto wanted = ClipText::open(scratch / "openai.safetensors").encode(ids);
  for (const auto* prefix : {"text_model.", "cond_stage_model.transformer.text_model.", ""}) {
    auto tensors = hugging_face_weights(openai, prefix);
    tensors["vision_model.embeddings.position_embedding.weight"] = torch::zeros({5, 7});
    tensors[std::string(prefix) + "embeddings.position_ids"] =
        torch::arange(shape.positions).unsqueeze(0);
    formats::write_pth(scratch / "hf.pth", tensors);
    const auto clip = ClipText::open(scratch / "hf.pth");
    CHECK(torch::equal(clip.encode(ids), wanted));
    CHECK(clip.config().layers == 2);
  }
  // Half precision, as OpenAI publishes it, is widened exactly.
  auto halves = openai, rounded = openai;
  for (auto& [name, tensor] : halves) tensor = tensor.to(torch::kFloat16);
  for (auto& [name, tensor] : rounded) tensor = tensor.to(torch::kFloat16).to(torch::kFloat32);
  formats::write_safetensors(scratch / "halves.safetensors", {halves, {}});
  formats::write_safetensors(scratch / "rounded.safetensors", {rounded, {}});
  CHECK(torch::equal(ClipText::open(scratch / "halves.safetensors").encode(ids),
                     ClipText::open(scratch / "rounded.safetensors").encode(ids)));
}

TEST_CASE("clip: shards, and the folder of a diffusers pipeline", "[model][clip]") {
  test::Scratch scratch;
  const Shape shape;
  const auto all = hugging_face_weights(openai_weights(shape), "text_model.");
  std::filesystem::create_directory(scratch / "text_encoder");
  NamedTensors halves[2];
  json map = json::object();
  int i = 0;
  for (const auto& [name, tensor] : all) {
    halves[i % 2][name] = tensor;
    map[name] = fmt::format("part-{}.safetensors", i++ % 2);
  }
  for (int part = 0; part < 2; ++part)
    formats::write_safetensors(scratch / fmt::format("text_encoder/part-{}.safetensors", part),
                               {halves[part], {}});
  std::ofstream(scratch / "text_encoder/model.safetensors.index.json")
      << json{{"weight_map", map}}.dump();
  write_config(scratch / "text_encoder",
               {{"hidden_size", 128}, {"num_attention_heads", 2}, {"hidden_act", "quick_gelu"}});
  std::vector<std::string> notes;
  const auto clip = ClipText::open(scratch.path(), &notes);
  CHECK(notes.empty());
  formats::write_safetensors(scratch / "whole.safetensors", {all, {}});
  const auto whole = ClipText::open(scratch / "whole.safetensors", &notes);
  CHECK(notes.size() == 2);  // heads and activation are assumed
  const auto ids = some_ids(shape, 2, 9);
  CHECK(torch::equal(clip.encode(ids), whole.encode(ids)));
}

TEST_CASE("clip: a text has the same bits in every batch and with every number of threads",
          "[model][clip]") {
  test::Scratch scratch;
  Shape shape;
  shape.positions = 77;
  formats::write_safetensors(scratch / "m.safetensors", {openai_weights(shape), {}});
  auto clip = ClipText::open(scratch / "m.safetensors");
  const auto ids = some_ids(shape, 5, 77);
  const int before = at::get_num_threads();
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16})
    for (const auto source : {model::ProductSource::fastest, model::ProductSource::library}) {
      model::use_products(source);
      clip.to(torch::kCPU, dtype);
      at::set_num_threads(1);
      const auto wanted = clip.encode(ids);
      at::set_num_threads(3);
      CHECK(torch::equal(clip.encode(ids), wanted));
      for (int64_t i = 0; i < 5; ++i)
        CHECK(torch::equal(clip.encode(ids.slice(0, i, i + 1)), wanted.slice(0, i, i + 1)));
      CHECK(torch::equal(clip.encode(ids.slice(0, 1, 4)), wanted.slice(0, 1, 4)));
      at::set_num_threads(before);
    }
  model::use_products(model::ProductSource::fastest);
}

TEST_CASE("clip: later tokens change nothing before them", "[model][clip]") {
  test::Scratch scratch;
  const Shape shape;
  formats::write_safetensors(scratch / "m.safetensors", {openai_weights(shape), {}});
  const auto clip = ClipText::open(scratch / "m.safetensors");
  auto ids = some_ids(shape, 1, 9);
  const auto before = clip.encode(ids);
  ids[0][6] = (ids[0][6].item<int64_t>() + 1) % 50;
  const auto after = clip.encode(ids);
  CHECK(torch::equal(before.slice(1, 0, 6), after.slice(1, 0, 6)));
  CHECK_FALSE(torch::equal(before.slice(1, 6), after.slice(1, 6)));
  CHECK(clip.encode(torch::empty({0, 9}, torch::kInt64)).sizes() ==
        torch::IntArrayRef({0, 9, 128}));
}

TEST_CASE("clip: what does not fit is reported", "[model][clip]") {
  test::Scratch scratch;
  const Shape shape;
  const auto tensors = openai_weights(shape);
  const auto refusal = [&](NamedTensors changed) {
    formats::write_safetensors(scratch / "m.safetensors", {changed, {}});
    try {
      ClipText::open(scratch / "m.safetensors");
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("opened");
  };
  auto changed = tensors;
  changed.erase("transformer.resblocks.1.mlp.c_fc.bias");
  CHECK_THAT(refusal(changed), Contains("transformer.resblocks.1.mlp.c_fc.bias is missing"));
  changed = tensors;
  changed["ln_final.weight"] = torch::zeros({5});
  CHECK_THAT(refusal(changed),
             Contains("ln_final.weight is [5] float32 on cpu, want floats [128]"));
  CHECK_THAT(refusal({{"a", torch::zeros({1})}}), Contains("not a CLIP text encoder"));
  Shape narrow;
  narrow.width = 48;
  CHECK_THAT(refusal(openai_weights(narrow)), Contains("put its config.json next to it"));
  write_config(scratch.path(), {{"hidden_size", 128}, {"num_attention_heads", 3}});
  CHECK_THAT(refusal(tensors), Contains("num_attention_heads is 3"));
  write_config(scratch.path(), {{"hidden_size", 128}, {"hidden_act", "relu"}});
  CHECK_THAT(refusal(tensors), Contains("hidden_act is \"relu\""));
  write_config(scratch.path(), {{"hidden_size", 64}, {"hidden_act", "relu"}});
  CHECK(refusal(tensors) == "opened");  // of another network

  const auto clip = ClipText::open(scratch / "m.safetensors");
  const auto ids = torch::zeros({1, 9}, torch::kInt64);
  CHECK_THROWS_WITH(clip.encode(ids + 50), Contains("token 50, the vocabulary has 0 to 49"));
  CHECK_THROWS_WITH(clip.encode(ids - 1), Contains("token -1"));
  CHECK_THROWS_WITH(clip.encode(torch::zeros({1, 10}, torch::kInt64)),
                    Contains("10 tokens a text, want 1 to 9"));
  CHECK_THROWS_WITH(clip.encode(torch::zeros({9}, torch::kInt64)), Contains("want int64"));
}
