// Ranks are threads here; what a process does that dies or is stopped is tested in
// tests/cli/processes_test.cpp.
#include "base/process_group.h"

#include "base/narrow_sum.h"

#include <unistd.h>

#include "base/process.h"
#include "tests/support/catch.h"
#include "tests/support/ranks.h"
#include "tests/support/skip.h"

using namespace uvic::base;
using namespace uvic::test;
using Catch::Matchers::Contains;

TEST_CASE("ranks sum, copy and gather", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t size = GENERATE(2, 3);
  const int listening = listen_at("127.0.0.1", 0);
  std::vector<torch::Tensor> sums(static_cast<size_t>(size)), gathered(sums.size());
  std::vector<std::vector<std::string>> texts(sums.size());
  const auto errors = on_ranks(size, [&](int64_t rank) {
    const auto group = join(place_of(rank, size, listening));
    CHECK(group->size() == size);
    auto sum = torch::arange(5, torch::kFloat32) * static_cast<double>(rank + 1);
    group->sum(sum);
    sums[rank] = sum;
    gathered[rank] = group->gather(torch::full({2}, rank, torch::kInt64));
    texts[rank] = group->gather(std::string(static_cast<size_t>(rank), 'x'));
    const auto copied = torch::full({3}, static_cast<double>(rank));
    group->broadcast(copied, size - 1);
    CHECK(copied.eq(static_cast<double>(size - 1)).all().item<bool>());
    CHECK(group->broadcast(rank == 0 ? "from 0" : "mine") == "from 0");
    const auto rows = group->gather_rows(torch::full({rank, 2}, rank, torch::kInt64));
    CHECK(rows.size(0) == size * (size - 1) / 2);
    CHECK(rows[0][0].item<int64_t>() == 1);
    CHECK(rows[-1][1].item<int64_t>() == size - 1);
    CHECK(group->any(rank == size - 1));
    CHECK_FALSE(group->any(false));
    group->require_same({{"seed", "7"}});
    CHECK(group->summed_bytes() == 20);
    CHECK(group->threads() == std::max<int64_t>(1, uvic::base::usable_cores() / size));
    group->finish();
  });
  for (const auto& error : errors) CHECK(error == "");
  for (int64_t rank = 0; rank < size; ++rank) {
    CHECK(torch::equal(
        sums[rank],
        torch::arange(5, torch::kFloat32) * static_cast<double>(size * (size + 1) / 2)));
    REQUIRE(gathered[rank].sizes() == torch::IntArrayRef({size, 2}));
    for (int64_t r = 0; r < size; ++r) CHECK(gathered[rank][r][1].item<int64_t>() == r);
    CHECK(texts[rank][1] == "x");
    CHECK(texts[rank][0] == "");
  }
}

TEST_CASE("a narrow sum rounds, adds in float32 by rank, and rounds again", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int64_t size = GENERATE(2, 3, 4), numbers = 10;  // not a multiple of 3 or 4
  const int listening = listen_at("127.0.0.1", 0);
  // 1 + 2^-9 rounds to 1, 1 + 2^-8 to 1, 1 + 3 2^-8 to 1 + 2^-6: ties go to the even neighbour.
  const auto of_rank = [&](int64_t rank) {
    return 1 + (torch::arange(numbers, torch::kFloat32) + static_cast<double>(rank)) / 512;
  };
  auto expected = torch::zeros({numbers});
  for (int64_t rank = 0; rank < size; ++rank)
    expected += of_rank(rank).to(torch::kBFloat16).to(torch::kFloat32);
  expected = expected.to(torch::kBFloat16).to(torch::kFloat32);
  std::vector<torch::Tensor> sums(static_cast<size_t>(size));
  const auto errors = on_ranks(size, [&](int64_t rank) {
    const auto group = join(place_of(rank, size, listening));
    const auto a = of_rank(rank), b = -of_rank(rank);
    NarrowSum first(*group, a), second(*group, b);
    for (int again = 0; again < 2; ++again) {  // what a step leaves does no harm to the next
      a.copy_(of_rank(rank)), b.copy_(-of_rank(rank));
      first.start(), second.start();
      first.sum_own_part(), second.sum_own_part();
      first.finish(), second.finish();
    }
    CHECK(torch::equal(b, -a));
    CHECK(first.bytes() == 2 * size * ((numbers + size - 1) / size));
    CHECK(group->summed_bytes() == 4 * first.bytes());
    sums[rank] = a;
    group->finish();
  });
  for (const auto& error : errors) CHECK(error == "");
  for (const auto& sum : sums) CHECK(torch::equal(sum, expected));
}

TEST_CASE("the parts of ranks follow each other and cover all", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  std::vector<std::pair<int64_t, int64_t>> parts(3);
  on_ranks(3, [&](int64_t rank) {
    const auto group = join(place_of(rank, 3, listening));
    parts[rank] = group->part_of(16);
    group->finish();
  });
  CHECK(parts == std::vector<std::pair<int64_t, int64_t>>{{0, 5}, {5, 10}, {10, 16}});
}

TEST_CASE("ranks with another value are refused by name", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  const auto errors = on_ranks(2, [&](int64_t rank) {
    const auto group = join(place_of(rank, 2, listening));
    group->require_same({{"model.depth", "12"}, {"seed", rank == 0 ? "0" : "1"}});
  });
  for (const auto& error : errors)
    CHECK(error == "rank 1 of 2 has another seed than rank 0: \"1\", not \"0\"");
}

TEST_CASE("ranks of another version, size or job, and double ranks are refused", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  std::string version, size, job;
  const auto errors = on_ranks(2, [&](int64_t rank) {
    if (rank == 1) {
      auto other = place_of(1, 2, listening);
      version = message_of([&] { join(other, "2"); });
      other.job = "a";
      job = message_of([&] { join(other); });
      size = message_of([&] { join(place_of(1, 3, listening)); });
    }
    join(place_of(rank, 2, listening))->finish();
  });
  CHECK(errors == std::vector<std::string>{"", ""});
  CHECK_THAT(version, Contains("another version: rank 1 has \"2\", rank 0 has \"1\""));
  CHECK_THAT(job, Contains("another job"));
  CHECK_THAT(size, Contains("rank 1 is one of 3 processes, rank 0 of 2"));
}

TEST_CASE("a rank that never comes is named within the timeout", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  std::vector<std::string> errors;
  const double seconds = seconds_of([&] {
    errors = on_ranks(2, [&](int64_t rank) { join(place_of(rank, 3, listening), "1", 2); });
  });
  CHECK(seconds < 4);
  for (const auto& error : errors)
    CHECK_THAT(error, Contains("rank 2 of 3 did not come") && Contains("within 2 s"));
}

TEST_CASE("without rank 0 the others say where they looked", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  auto place = place_of(1, 2, listening);
  ::close(listening);
  CHECK_THAT(message_of([&] { join(place, "1", 2); }), Contains("no rank 0 at 127.0.0.1 port"));
}

TEST_CASE("a taken port is named", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("", 0);
  auto place = place_of(0, 2, listening);
  place.listening = -1;
  CHECK_THAT(message_of([&] { join(place, "1", 2); }),
             Contains(std::to_string(place.port)) && Contains("set MASTER_PORT"));
  ::close(listening);
}

TEST_CASE("what one rank throws, all learn at once", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  const int64_t failing = GENERATE(0, 1);
  std::vector<std::string> errors;
  const double seconds = seconds_of([&] {
    errors = on_ranks(3, [&](int64_t rank) {
      const auto group = join(place_of(rank, 3, listening));
      group->sum(torch::ones({1}));  // all have come
      if (rank == failing) {
        // Rank 0 reports what happens to others.
        CHECK(group->fail("the disk is full") == (rank == 0));
        return;
      }
      const auto error = message_of([&] { group->sum(torch::ones({1000})); });
      CHECK(group->fail(error) == (rank == 0));
      throw std::runtime_error(error);
    });
  });
  CHECK(seconds < 8);
  for (int64_t rank = 0; rank < 3; ++rank)
    if (rank != failing) CHECK_THAT(errors[rank], Contains("the disk is full"));
}

TEST_CASE("a rank that leaves without a goodbye has died", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  const auto errors = on_ranks(3, [&](int64_t rank) {
    auto group = join(place_of(rank, 3, listening));
    group->sum(torch::ones({1}));  // all have come
    if (rank == 2) return;
    message_of([&] { group->sum(torch::ones({10})); });
    group->sum(torch::ones({10}));
  });
  for (int64_t rank = 0; rank < 2; ++rank)
    CHECK_THAT(errors[rank], Contains("rank 2 of 3") && Contains("has died"));
}

TEST_CASE("ranks that wait for each other in different exchanges end", "[processes]") {
  if (!has_collectives()) UVIC_SKIP("this build has no c10d");
  const int listening = listen_at("127.0.0.1", 0);
  std::vector<std::string> errors;
  const double seconds = seconds_of([&] {
    errors = on_ranks(2, [&](int64_t rank) {
      auto group = join(place_of(rank, 2, listening), "1", 2);
      if (rank == 0) group->gather(torch::ones({10}));
      group->sum(torch::ones({1 << 20}));
      if (rank == 1) group->gather(torch::ones({10}));
    });
  });
  CHECK(seconds < 8);
  for (const auto& error : errors) CHECK_FALSE(error.empty());
}
