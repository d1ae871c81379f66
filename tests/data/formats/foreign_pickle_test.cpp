// Checkpoints with objects of other libraries in them; made by make_foreign.py.
#include <filesystem>

#include "data/formats/torch_pickle.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {
const std::string kGoldenPickles = UVIC_GOLDEN_DIR "/formats/";
}

TEST_CASE("pth: objects of other libraries are passed over, the tensors are read",
          "[torch_pickle]") {
  for (const char* name : {"foreign2.zip.pth", "foreign4.zip.pth"}) {
    INFO(name);
    const auto file = read_pth_file(kGoldenPickles + name);
    CHECK(torch::equal(file.tensors.at("state_dict.weight"), torch::tensor({1.f, 2.f})));
    CHECK(torch::equal(file.tensors.at("state_dict.bias"), torch::tensor({3.f})));
    CHECK(torch::equal(file.tensors.at("pair.1"), torch::tensor({4.f})));
    // Under a class as key, as older Lightning keeps its callbacks.
    CHECK(torch::equal(
        file.tensors.at(
            "callbacks.pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint.best"),
        torch::tensor({7.f})));
    CHECK(file.tensors.size() == 4);
    for (const auto* foreign : {"omegaconf.dictconfig.DictConfig",
                                "easydict.EasyDict",
                                "ml_collections.config_dict.config_dict.ConfigDict",
                                "lightning.trainer.states.Phase",
                                "datetime.datetime",
                                "datetime.timedelta",
                                "project.types.Pair"})
      CHECK(file.foreign.count(foreign));
    CHECK(file.others.at("phase") == "lightning.trainer.states.Phase");
    CHECK(std::get<int64_t>(file.scalars.at("epoch")) == 3);
    CHECK(std::get<int64_t>(file.scalars.at("args.batch")) == 16);
    CHECK(std::get<std::string>(file.scalars.at("args.out")) == "/runs/a");
    CHECK_FALSE(file.scalars.count("config.lr"));
  }
}

TEST_CASE("pth: a module that was pickled whole gives its state_dict's names", "[torch_pickle]") {
  const auto file = read_pth_file(kGoldenPickles + "whole_module.zip.pth");
  CHECK(file.tensors.size() == 2);
  CHECK(torch::equal(file.tensors.at("model.pos_embed"), torch::tensor({5.f})));
  CHECK(torch::equal(file.tensors.at("model.proj.weight"),
                     torch::tensor({1.f, 2.f, 3.f, 4.f}).view({2, 2})));
  CHECK(file.foreign.count("project.model.Module"));
}

TEST_CASE("pth: a file of 15 kB whose views are 4 GB is refused, tied weights are not",
          "[torch_pickle]") {
  CHECK_THROWS_WITH(read_pth_file(kGoldenPickles + "expanded.zip.pth"),
                    Contains("would take 4194304000 bytes, their storages hold 4"));
  const auto tied = read_pth_file(kGoldenPickles + "tied.zip.pth");
  CHECK(tied.tensors.at("a").data_ptr() == tied.tensors.at("b").data_ptr());
  CHECK(tied.order == std::vector<std::string>{"a", "b"});
}
