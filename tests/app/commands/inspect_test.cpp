#include "app/commands/inspect.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "data/dataset_writer.h"
#include "data/formats/image_file.h"
#include "data/formats/torch_pickle.h"
#include "data/procedural.h"
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

const fs::path kGoldenFolder = fs::path(UVIC_GOLDEN_DIR) / "app";

}  // namespace

TEST_CASE("inspect: tensors, config, size and step of a checkpoint", "[inspect]") {
  const auto report = inspect(kGoldenFolder / "20.ckpt");
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
  CHECK(inspect(kGoldenFolder / "20.ckpt" / "step.pth")["step"] == 20);
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

TEST_CASE("inspect: a pipeline of diffusers, by its parts", "[inspect]") {
  const Scratch scratch;
  fs::create_directories(scratch / "vae");
  fs::create_directories(scratch / "unet");
  std::ofstream(scratch / "model_index.json")
      << R"({"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"],)"
      << R"( "feature_extractor": [null, null], "requires_safety_checker": true})";
  const auto report = inspect(scratch.path());
  CHECK(report["kind"] == "diffusers pipeline");
  CHECK(report["content"] ==
        nlohmann::json({{"_class_name", "StableDiffusionPipeline"}, {"vae", "AutoencoderKL"}}));
  CHECK(report["note"] == "parts that uvic reads: " + (scratch / "vae").string());
}

TEST_CASE("inspect: a brace range of tars is one set", "[inspect]") {
  const Scratch scratch;
  data::write_dataset_tars(data::ProceduralDataset(30, 8, 0),
                           {scratch / "set-0.tar", scratch / "set-1.tar", scratch / "set-2.tar"});
  const auto report = inspect(scratch / "set-{0..2}.tar");
  CHECK(report["kind"] == "set of 3 tar archives of images");
  CHECK(report["images"]["count"] == 30);
  CHECK(report["images"]["image_size"] == 8);
  CHECK(report["size_bytes"] == fs::file_size(scratch / "set-0.tar") +
                                    fs::file_size(scratch / "set-1.tar") +
                                    fs::file_size(scratch / "set-2.tar"));
  CHECK(inspect(scratch / "set-1.tar")["kind"] == "tar archive of images");
  CHECK(inspect(scratch / "set-1.tar")["images"]["count"] == 10);
  CHECK_THROWS_WITH(inspect(scratch / "set-{0..3}.tar"), Contains("set-3.tar"));
  CHECK_THROWS_WITH(inspect(scratch / "other-{0..3}.tar"), Contains("no such file or folder"));
}

TEST_CASE("inspect: ImageNet's own layout, with the names of its classes", "[inspect]") {
  const Scratch scratch;
  std::ofstream(scratch / "LOC_synset_mapping.txt")
      << "n01440764 tench, Tinca tinca\nn01443537 goldfish\n";
  for (const auto* part : {"val", "train"}) {
    for (const auto* number : {"n01440764", "n01443537"}) {
      const auto folder = scratch / "Data" / "CLS-LOC" / part / number;
      fs::create_directories(folder);
      formats::write_png(folder / (std::string(number) + "_1.PNG"),
                         {4, 4, std::vector<uint8_t>(48, 9)});
    }
    const auto report = inspect(scratch.path());  // validation alone at first
    CHECK(report["kind"] == std::string("ImageNet in its own layout, part ") + part);
    CHECK(report["images"]["count"] == 2);
    CHECK(report["images"]["classes"][0]["name"] == "tench");
    CHECK(report["images"]["classes"][1]["name"] == "goldfish");
  }
}
