#include "app/runs/network_choice.h"

#include "base/torch.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;

namespace {

/// A network of two tensors, with `value` in them: the mark of a U-ViT, and one more.
model::NamedTensors network(float value) {
  return {{"patch_embed.proj.weight", torch::full({2, 3}, value)},
          {"norm.weight", torch::full({4}, value)}};
}

void put(model::NamedTensors& file, const std::string& prefix, float value) {
  for (const auto& [name, tensor] : network(value)) file[prefix + name] = tensor;
}

float value_of(const NetworkChoice& choice) {
  REQUIRE(choice.tensors.size() == 2);
  return choice.tensors.at("norm.weight")[0].item<float>();
}

}  // namespace

TEST_CASE("network choice: the average of every common wrapper is found and said", "[weights]") {
  for (const auto& [plain, average] : {std::pair("model.", "ema."),
                                       {"model.", "ema_model."},
                                       {"module.", "module.ema."},
                                       {"state_dict.", "model_ema."},
                                       {"state_dict.", "state_dict_ema."},
                                       {"params.", "params_ema."},
                                       {"model.", "averaged_model.module."},
                                       {"model.", "shadow."},
                                       {"state_dict.model.", "state_dict.ema_model."},
                                       {"ema.online_model.", "ema.ema_model."},
                                       {"schema.", "swa_model."},
                                       {"", "ema."}}) {
    CAPTURE(plain, average);
    model::NamedTensors file;
    put(file, plain, 1);
    put(file, average, 2);
    const auto choice = choose_network(file, {}, "", "a.pth");
    CHECK(choice.prefix == average);
    CHECK(value_of(choice) == 2);
    CHECK(choice.left_out == 2);
    REQUIRE(choice.notes.size() == 1);
    CHECK_THAT(choice.notes.front(), Contains(std::string("\"") + average + "\" is taken"));
    CHECK(value_of(choose_network(file, {}, *plain ? plain : average, "a.pth")) ==
          (*plain ? 1 : 2));
  }
}

TEST_CASE("network choice: DDP's and torch.compile's parts of names are no part of them",
          "[weights]") {
  for (const auto* prefix : {"module.", "_orig_mod.", "module._orig_mod.", "state_dict.model."}) {
    CAPTURE(prefix);
    model::NamedTensors file;
    put(file, prefix, 3);
    CHECK(value_of(choose_network(file, {}, "", "a.pth")) == 3);
  }
  model::NamedTensors inside = {{"patch_embed._orig_mod.proj.weight", torch::ones({2})}};
  CHECK(choose_network(inside, {}, "", "a.pth").tensors.count("patch_embed.proj.weight"));
}

TEST_CASE("network choice: LitEma's names without dots", "[weights]") {
  model::NamedTensors file;
  put(file, "state_dict.model.net.", 1);
  file["state_dict.model_ema.netpatch_embedprojweight"] = torch::full({2, 3}, 2.f);
  file["state_dict.model_ema.netnormweight"] = torch::full({4}, 2.f);
  file["state_dict.model_ema.decay"] = torch::ones({});
  const auto choice = choose_network(file, {}, "", "a.pth");
  CHECK(choice.prefix == "state_dict.model_ema.");
  CHECK(value_of(choice) == 2);
}

TEST_CASE("network choice: a list shadow_params takes the names of the network, in file order",
          "[weights]") {
  model::NamedTensors file;
  put(file, "model.", 1);
  file["ema.shadow_params.0"] = torch::full({2, 3}, 2.f);
  file["ema.shadow_params.1"] = torch::full({4}, 2.f);
  const std::vector<std::string> order = {"model.patch_embed.proj.weight", "model.norm.weight"};
  const auto choice = choose_network(file, order, "", "a.pth");
  CHECK(choice.prefix == "ema.shadow_params.");
  CHECK(value_of(choice) == 2);
  file["ema.shadow_params.1"] = torch::full({5}, 2.f);  // of another network
  const auto other = choose_network(file, order, "", "a.pth");
  CHECK(value_of(other) == 1);
  CHECK_THAT(other.notes.front(), Contains("fits no network"));
}

TEST_CASE("network choice: several networks without one average are listed", "[weights]") {
  model::NamedTensors file;
  put(file, "teacher.", 1);
  put(file, "student.", 2);
  CHECK_THROWS_WITH(choose_network(file, {}, "", "a.pth"),
                    Contains("\"student.\", \"teacher.\"") && Contains("uvic convert --prefix"));
  CHECK(value_of(choose_network(file, {}, "student", "a.pth")) == 2);
  CHECK_THROWS_WITH(choose_network(file, {}, "ema", "a.pth"), Contains("no network under ema"));
  CHECK_FALSE(choose_network({{"layer.weight", torch::ones({1})}}, {}, "", "a.pth").is_network);
}
