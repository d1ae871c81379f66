#include "metrics/torchscript.h"

#include <torch/script.h>

#include <fstream>
#include <string>

#include "base/torch.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::metrics;
using uvic::test::AllClose;
using uvic::test::Scratch;

namespace {

std::filesystem::path write_module(const Scratch& scratch, const char* name, const char* forward) {
  torch::jit::Module module("extractor");
  module.define(forward);
  const auto path = scratch / name;
  module.save(path.string());
  return path;
}

torch::Tensor images() {
  torch::manual_seed(31);
  return torch::randint(256, {20, 3, 6, 6}).to(torch::kUInt8);
}

}  // namespace

TEST_CASE("torchscript: features are what the file computes", "[torchscript]") {
  const Scratch scratch;
  const auto path = write_module(scratch, "colour.pt", R"(
def forward(self, x):
    return x.float().mean([2, 3])
)");
  const auto extractor = load_torchscript(path);
  CHECK(extractor->name() == "torchscript/colour");
  CHECK(extractor->distance_name() == "FD");
  CHECK(extractor->dimensions() == 3);
  CHECK(extractor->weights_sha256().size() == 64);
  const auto x = images();
  CHECK_THAT(extractor->extract(x), AllClose(x.to(torch::kFloat32).mean({2, 3}), 1e-6, 0));
  CHECK(extractor->extract(x.slice(0, 0, 17)).equal(extractor->extract(x).slice(0, 0, 17)));
}

TEST_CASE("torchscript: networks that ask for return_features get it", "[torchscript]") {
  const Scratch scratch;
  const auto path = write_module(scratch, "detector.pt", R"(
def forward(self, x, return_features: bool = False):
    if return_features:
        return x.double().amax([2, 3], True)
    return x[:, 0, 0]
)");
  const auto features = load_torchscript(path)->extract(images());
  CHECK(features.scalar_type() == torch::kFloat32);
  CHECK_THAT(features, AllClose(images().to(torch::kFloat32).amax({2, 3}), 0, 0));
}

TEST_CASE("torchscript: files that are none, or give other shapes, are refused by name",
          "[torchscript]") {
  const Scratch scratch;
  CHECK_THROWS_WITH(load_torchscript(scratch / "absent.pt"),
                    Catch::Contains("absent.pt: no such file"));
  std::ofstream(scratch / "text.pt") << "no network";
  CHECK_THROWS_WITH(load_torchscript(scratch / "text.pt"),
                    Catch::Contains("text.pt: not a TorchScript file"));
  const auto maps =
      write_module(scratch, "maps.pt", "def forward(self, x):\n    return x.float()\n");
  CHECK_THROWS_WITH(load_torchscript(maps),
                    Catch::Contains("maps.pt") && Catch::Contains("[N, D]"));
  const auto number = write_module(scratch, "number.pt", "def forward(self, x):\n    return 3\n");
  CHECK_THROWS_WITH(load_torchscript(number),
                    Catch::Contains("number.pt") && Catch::Contains("Int"));
  const auto wrong =
      write_module(scratch, "wrong.pt", "def forward(self, x):\n    return x.reshape([7])\n");
  CHECK_THROWS_WITH(load_torchscript(wrong), Catch::Contains("wrong.pt: its forward failed"));
}

TEST_CASE("torchscript: what breaks the contract is refused in one line", "[torchscript]") {
  const Scratch scratch;
  const auto complaint = [&](const std::string& result) -> std::string {
    const auto forward = "def forward(self, x):\n    return " + result + "\n";
    try {
      load_torchscript(write_module(scratch, "bad.pt", forward.c_str()));
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "nothing";
  };
  using Catch::Contains;
  CHECK(complaint("x.float().mean([2, 3])") == "nothing");
  // The mean of all images: two images of the same noise would not show it.
  CHECK_THAT(complaint("x.float().mean([2, 3]) + x.float().mean()"),
             Contains("depend on the batch that it is in"));
  CHECK_THAT(complaint("x.float().mean([2, 3]) - x.float().mean([0, 2, 3])"),
             Contains("depend on the batch that it is in"));
  CHECK_THAT(complaint("x.float().mean([2, 3]) / 0."), Contains("NaN or infinity"));
  CHECK_THAT(complaint("x.float().mean([2, 3]) * float('nan')"), Contains("NaN or infinity"));
  CHECK_THAT(complaint("x.amax([2, 3])"), Contains("gives Byte, want floating-point features"));
  CHECK_THAT(complaint("x.float().flatten(1)"),
             Contains("12288 features of an image of 64 x 64 px and 4608 of one of 32 x 48 px"));
  // Only the last line of the interpreter's way to the fault, and what to do about it.
  const auto bytes = complaint("x.mean([2, 3])");
  CHECK_THAT(bytes, Contains("failed on uint8 images [2, 3, 64, 64]: ") && Contains("dtype"));
  CHECK_THAT(bytes, Contains("must take uint8: convert inside it"));
  CHECK(bytes.find('\n') == std::string::npos);
  const auto shape = complaint("x.reshape([7])");
  CHECK_THAT(shape, Contains("invalid for input of size 24576") && !Contains("must take uint8"));
  CHECK(shape.find('\n') == std::string::npos);
}
