// Statistics of attention on heads and tokens whose answer is known.
#include <cmath>

#include "tests/model/attention/made_block.h"

using namespace uvic::model;
using namespace uvic::test;

TEST_CASE("statistics: a head that copies the next token, and one that deletes it",
          "[attention][statistics]") {
  const auto copies = measured(one_head(to_next(), identity()));
  CHECK(copies.at("copy_share") == Approx(1));
  CHECK(copies.at("copy_cosine") == Approx(1));
  CHECK(copies.at("sign_cosine") == Approx(1));
  CHECK(copies.at("both_rows") == 0);
  CHECK(std::isnan(copies.at("deleted_by_sign")));
  CHECK(copies.at("output_norm") == Approx(1));

  const auto by_sign = measured(one_head(-to_next(), identity()));
  CHECK(by_sign.at("copy_share") == Approx(0).margin(1e-12));
  CHECK(by_sign.at("copy_cosine") == Approx(-1));
  CHECK(by_sign.at("sign_cosine") == Approx(-1));
  CHECK(by_sign.at("deleted_by_sign") == Approx(1));
  CHECK(by_sign.at("negative_mass") == Approx(1));

  // The same result with positive weights: the OV circuit deletes.
  const auto by_circuit = measured(one_head(to_next(), -identity()));
  CHECK(by_circuit.at("copy_share") == Approx(0).margin(1e-12));
  CHECK(by_circuit.at("copy_cosine") == Approx(-1));
  CHECK(by_circuit.at("sign_cosine") == Approx(1));
  CHECK(by_circuit.at("deleted_by_sign") == Approx(0).margin(1e-12));
}

TEST_CASE("statistics: a head that copies one token and deletes another in one row",
          "[attention][statistics]") {
  const auto both = measured(one_head(0.75 * to_next() - 0.25 * to_next().roll(1, 1), identity()));
  CHECK(both.at("copy_share") == Approx(0.75));
  CHECK(both.at("both_rows") == 1);
  CHECK(both.at("deleted_by_sign") == Approx(1));
  CHECK(both.at("negative_mass") == Approx(0.25));
  CHECK(both.at("negative_share") == Approx(0.2));
  CHECK(both.at("net_weight") == Approx(0.5));
}

TEST_CASE("statistics: a pure sink, and uniform attention", "[attention][statistics]") {
  auto sink = torch::zeros({5, 5}, torch::kFloat64);
  sink.select(1, 0).fill_(1);
  const auto first = measured(one_head(sink, identity()));
  CHECK(first.at("mass_first") == 1);
  CHECK(first.at("mass_time") == 1);
  CHECK(first.at("largest_sink") == 1);
  CHECK(first.at("effective_keys") == Approx(1));
  CHECK(first.at("sparsity") == Approx(1));
  CHECK(std::isnan(first.at("distance")));  // nothing of it goes to a patch

  const auto even = measured(one_head(torch::full({5, 5}, 0.2, torch::kFloat64), identity()));
  CHECK(even.at("effective_keys") == Approx(5));
  CHECK(even.at("sparsity") == Approx(0).margin(1e-12));
  CHECK(even.at("largest_sink") == Approx(0.2));
  // From a corner of 2 x 2 patches: itself, two at distance 1, one at sqrt 2.
  CHECK(even.at("distance") == Approx((2 + std::sqrt(2.)) / 4));
}

TEST_CASE("statistics: a collapsed stack of tokens and an orthogonal one",
          "[attention][statistics]") {
  auto made = one_head(torch::full({5, 5}, 0.2, torch::kFloat64), identity());
  const auto of = [&](const char* name, PathProducts paths = {}) {
    return value_at(measured_block(made, paths), {0, number_of(block_statistics(), name)});
  };
  made.view.out = torch::tensor({1., 2., 3., 4.}, torch::kFloat64).expand({1, 5, 4});
  CHECK(of("token_cosine") == Approx(1));
  CHECK(of("effective_rank") == Approx(1).epsilon(1e-5));
  CHECK(of("anisotropy") == Approx(1));
  CHECK(of("token_norm") == Approx(std::sqrt(30.)));

  made.view.out = torch::eye(5, torch::kFloat64).unsqueeze(0);
  made.view.x = made.view.out;
  made.view.proj_weight = torch::zeros({5, 4}, torch::kFloat64);
  made.view.proj_bias = torch::zeros(5, torch::kFloat64);
  CHECK(of("token_cosine") == Approx(0).margin(1e-12));
  CHECK(of("effective_rank") == Approx(5));
  CHECK(of("anisotropy") == Approx(0.2));
  CHECK(of("attention_update") == 0);
  CHECK(of("mlp_update") == 0);
}

TEST_CASE("statistics: updates of attention and MLP are what each adds",
          "[attention][statistics]") {
  auto made = one_head(to_next(), identity());
  // Attention adds the next token; the MLP adds three times the token.
  made.view.out = made.view.x + made.view.x.roll(-1, 1) + 3 * made.view.x;
  PathProducts paths;
  const auto numbers = measured_block(made, paths);
  CHECK(value_at(numbers, {0, number_of(block_statistics(), "attention_update")}) == Approx(1));
  CHECK(value_at(numbers, {0, number_of(block_statistics(), "mlp_update")}) == Approx(3));
}

TEST_CASE("statistics: paths multiply through blocks, and opposite signs cancel them",
          "[attention][statistics]") {
  const auto tokens = number_of(block_statistics(), "path_tokens");
  const auto left = number_of(block_statistics(), "signed_paths");
  // Rows of (A + 1): 1 for itself and 1 for the next; two blocks: 1, 2, 1 of 4.
  const auto positive = one_head(to_next(), identity());
  PathProducts paths;
  CHECK(value_at(measured_block(positive, paths), {0, tokens}) == Approx(2));
  const auto second = measured_block(positive, paths);
  CHECK(value_at(second, {0, tokens}) == Approx(std::exp(1.5 * std::log(2.))));
  CHECK(value_at(second, {0, left}) == Approx(1));
  // A token that deletes itself leaves no path: |-1 + 1| against 1 + 1.
  const auto negative = one_head(-torch::eye(5, torch::kFloat64), identity());
  PathProducts cancelled;
  CHECK(value_at(measured_block(negative, cancelled), {0, left}) == Approx(0).margin(1e-12));
}
