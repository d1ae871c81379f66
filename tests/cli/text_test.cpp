// uvic predict and uvic inspect on CLIP's text encoder, as a user runs them.
#include <fmt/format.h>

#include <fstream>

#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/model/golden_rule.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic;
using Catch::Matchers::Contains;
using test::run_uvic;
using test::Scratch;
using Words = std::vector<std::string>;
using test::operator+;

namespace {

constexpr int64_t kPositions = 12, kVocabulary = 530, kWidth = 64;

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A text encoder of one layer under Hugging Face's names.
void write_clip(const fs::path& path) {
  formats::TensorFile file;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    file.tensors["text_model." + name] = test::golden_weight(name, shape);
  };
  add("embeddings.token_embedding.weight", {kVocabulary, kWidth});
  add("embeddings.position_embedding.weight", {kPositions, kWidth});
  const std::string layer = "encoder.layers.0.";
  for (const auto* norm :
       {"encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2", "final_layer_norm"}) {
    add(std::string(norm) + ".weight", {kWidth});
    add(std::string(norm) + ".bias", {kWidth});
  }
  for (const auto* part : {"q", "k", "v", "out"}) {
    add(layer + "self_attn." + part + "_proj.weight", {kWidth, kWidth});
    add(layer + "self_attn." + part + "_proj.bias", {kWidth});
  }
  add(layer + "mlp.fc1.weight", {2 * kWidth, kWidth});
  add(layer + "mlp.fc1.bias", {2 * kWidth});
  add(layer + "mlp.fc2.weight", {kWidth, 2 * kWidth});
  add(layer + "mlp.fc2.bias", {kWidth});
  formats::write_safetensors(path, file);
}

}  // namespace

TEST_CASE("captions become tokens and features, and tokens become the same features", "[text]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  write_clip(scratch / "clip.safetensors");
  write_text(scratch / "vocabulary.txt",
             "\"bpe_simple_vocab_16e6.txt#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\n");
  write_text(scratch / "captions.json",
             R"(["a cat", "A DOG!", "", "caf\u00c3\u00a9 a b c d e f g"])");
  write_text(scratch / "captions.txt", "a cat\r\nA DOG!\n\ncaf\u00c3\u00a9 a b c d e f g\n");
  const Words predict = {"predict", "--weights", at("clip.safetensors")};
  const Words text = {"--tokenizer", at("vocabulary.txt"), "--tokens_output", at("tokens.npy")};
  const auto made = run_uvic(
      predict + text + Words{"--captions", at("captions.json"), "--output", at("context.npy")});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  CHECK_THAT(made.out, Contains("float32 [4, 12, 64]"));
  CHECK_THAT(made.err,
             Contains("1 of 4 captions have more than 10 tokens and were cut: caption 4"));
  const auto tokens = formats::read_npy(scratch / "tokens.npy").clone();
  const auto context = formats::read_npy(scratch / "context.npy").clone();
  CHECK(tokens.sizes() == torch::IntArrayRef({4, 12}));
  CHECK(tokens.scalar_type() == torch::kInt64);
  // Ids: 256 bytes from "!" on, 256 with </w>, 512 ca, 513 cat</w>, 514 do, 515 dog</w>, 516 start,
  // 517 end.
  CHECK(tokens[1].slice(0, 0, 6).equal(
      torch::tensor(std::vector<int64_t>{516, 256 + 'a' - '!', 515, 256, 517, 517})));
  CHECK(tokens[2][1].item<int64_t>() == 517);

  REQUIRE(run_uvic(predict + text +
                   Words{"--captions", at("captions.txt"), "--output", at("lines.npy")})
              .exit_code == 0);
  CHECK(torch::equal(formats::read_npy(scratch / "lines.npy"), context));
  formats::write_npy(scratch / "narrow.npy", tokens.to(torch::kInt32));
  REQUIRE(run_uvic(predict + Words{"--input", at("narrow.npy"), "--output", at("again.npy")})
              .exit_code == 0);
  CHECK(torch::equal(formats::read_npy(scratch / "again.npy"), context));

  const auto inspected = run_uvic({"inspect", at("clip.safetensors"), "--json"});
  const auto report = formats::parse_json(inspected.out, "inspect");
  CHECK(report["text_encoder"]["layers"] == 1);
  CHECK(report["text_encoder"]["positions"] == 12);
  CHECK_THAT(run_uvic({"inspect", at("clip.safetensors")}).out,
             Contains("CLIP, 1 layers, width 64, 1 heads"));
}

TEST_CASE("what a text encoder can't take is one line", "[text]") {
  const Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch / name).string(); };
  write_clip(scratch / "clip.safetensors");
  write_text(scratch / "vocabulary.txt", "\"bpe_simple_vocab_16e6.txt#version: 0.2\nc a\n");
  const Words predict = {"predict", "--weights", at("clip.safetensors"), "--output", at("o.npy")};
  const auto check_refused = [&](const Words& more, int code, const std::string& text) {
    const auto outcome = run_uvic(predict + more);
    INFO(outcome.err);
    CHECK(outcome.exit_code == code);
    CHECK_THAT(outcome.err, Contains(text));
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') <= 3);  // notes, and one line
    CHECK_FALSE(fs::exists(scratch / "o.npy"));
  };
  formats::write_npy(scratch / "high.npy", torch::full({1, 12}, kVocabulary));
  formats::write_npy(scratch / "long.npy", torch::zeros({1, 13}, torch::kInt64));
  formats::write_npy(scratch / "floats.npy", torch::zeros({1, 12}));
  check_refused({"--input", at("high.npy")}, 2, "token 530, the vocabulary of the text encoder");
  check_refused({"--input", at("long.npy")}, 2, "want integers [batch, 1 to 12]");
  check_refused({"--input", at("floats.npy")}, 2, "want integers");
  check_refused({}, 2, "give --input tokens.npy, or --captions FILE");
  check_refused({"--captions", at("c.json")}, 2, "belong together");
  check_refused({"--input", at("high.npy"), "--timesteps", at("t.npy")}, 2, "takes none");
  const Words text = {"--tokenizer", at("vocabulary.txt"), "--captions", at("c.txt")};
  write_text(scratch / "c.txt",
             "good\nb\xff"
             "d\n");
  check_refused(text, 1, "caption 2 is not UTF-8: byte 1 is 0xff");
  write_text(scratch / "c.txt", "\n");
  check_refused(text, 1, "no captions");
  write_text(scratch / "c.txt", "[1, 2]");
  check_refused(text, 1, "caption 1 is of type number");
  check_refused({"--tokenizer", at("c.txt"), "--captions", at("c.txt")}, 1, "no tokenizer; give");
  std::string merges;
  for (char c = 'a'; c <= 'z'; ++c) merges += fmt::format("{} {}\n", c, c);
  write_text(scratch / "vocabulary.txt", "\"bpe_simple_vocab_16e6.txt#version: 0.2\n" + merges);
  write_text(scratch / "c.txt", "x");
  check_refused(text, 2, "540 ids, the text encoder has 530");
}
