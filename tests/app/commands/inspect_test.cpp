#include "app/commands/inspect.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "data/formats/torch_pickle.h"
#include "tests/app/small_uvit.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::Scratch;
using test::small_uvit;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(UVIC_GOLDEN_DIR) / "app";

}  // namespace

TEST_CASE("inspect: tensors, config, size and step of a checkpoint", "[inspect]") {
  const auto report = inspect(kGolden / "20.ckpt");
  CHECK(report["kind"] == "checkpoints of the official code");
  CHECK(report["step"] == 20);
  CHECK(report["parameters"] == 4060);
  CHECK_THAT(report["network"]["fault"].get<std::string>(), Contains("--num_heads"));
  const auto& rows = report["tensors"];
  const auto row = std::find_if(
      rows.begin(), rows.end(), [](const auto& r) { return r["name"] == "final_layer.weight"; });
  REQUIRE(row != rows.end());
  CHECK((*row)["shape"] == nlohmann::json::array({4, 4, 3, 3}));
  CHECK((*row)["dtype"] == "float32");
  CHECK((*row)["bytes"] == 576);

  const Scratch scratch;
  formats::write_pth(scratch / "w.pth", small_uvit());
  const auto network = inspect(scratch / "w.pth")["network"];
  CHECK(network["config"]["embed_dim"] == 128);
  CHECK(network["config"]["num_classes"] == 5);
  CHECK_THAT(network["assumed"].dump(),
             Contains("num_heads = 2") && Contains("attention = softmax") &&
                 Contains("diffusion.schedule") && Contains("sample.sampler"));
}

TEST_CASE("inspect: every kind of file that uvic reads", "[inspect]") {
  const fs::path formats_folder = fs::path(UVIC_GOLDEN_DIR) / "formats";
  const auto kind = [](const fs::path& path) { return inspect(path)["kind"].get<std::string>(); };
  CHECK(kind(formats_folder / "training.legacy.pth") == "pth: a file of torch.save");
  CHECK(kind(formats_folder / "dtypes.zip.pth") == "pth: a file of torch.save");
  CHECK(kind(formats_folder / "python.safetensors") == "safetensors");
  CHECK(kind(formats_folder / "fortran.npy") == "npy");
  CHECK(kind(formats_folder / "deflated.npz") == "npz");
  CHECK(kind(formats_folder / "rgb.png") == "image");
  CHECK(kind(formats_folder / "rgb.bmp") == "image");
  CHECK(kind(formats_folder / "dataset.json") == "json");
  CHECK(inspect(formats_folder / "training.zip.pth")["step"] == 7);
  CHECK(inspect(kGolden / "20.ckpt" / "step.pth")["step"] == 20);
  CHECK(inspect(formats_folder / "fortran.npy")["tensors"].size() == 1);

  const Scratch scratch;
  std::string batch(2 * 3073, '\0');
  batch[3073] = 7;
  std::ofstream(scratch / "test_batch.bin") << batch;
  const auto pictures = inspect(scratch / "test_batch.bin")["images"];
  CHECK(pictures["count"] == 2);
  CHECK(pictures["classes"][1]["name"] == "7");
  std::ofstream(scratch / "config.toml") << "[model]\ndepth = 4\n";
  CHECK(inspect(scratch / "config.toml")["config"]["model"]["depth"] == 4);

  std::ofstream(scratch / "notes.txt") << "hello";
  CHECK_THROWS_WITH(inspect(scratch / "notes.txt"), Contains("not a kind that uvic reads"));
  CHECK_THROWS_WITH(inspect(scratch / "nowhere"), Contains("no such file or folder"));
  std::ofstream(scratch / "short.safetensors") << "x";
  CHECK_THROWS_WITH(inspect(scratch / "short.safetensors"), Contains("short.safetensors"));
}
