#include "metrics/torchscript.h"

#include <torch/script.h>
#include <torch/torch.h>

#include <fstream>

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
                    Catch::Contains("text.pt: no TorchScript file"));
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
