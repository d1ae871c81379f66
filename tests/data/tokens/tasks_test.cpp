// The generated tasks, against their rules written a second time.
#include <map>
#include <set>

#include "data/tokens/token_loader.h"
#include "data/tokens/token_source.h"
#include "tests/support/catch.h"

using namespace uvic::data;

namespace {

struct TaskExample {
  std::vector<int64_t> tokens, targets, parts;
  int64_t size = 0;
};

TaskExample example(const TokenSource& source, int64_t position, uint64_t seed = 7) {
  const auto length = static_cast<size_t>(source.length());
  TaskExample e{
      std::vector<int64_t>(length), std::vector<int64_t>(length), std::vector<int64_t>(length)};
  e.size = source.read(seed, position, {e.tokens.data(), e.targets.data(), e.parts.data()});
  return e;
}

std::unique_ptr<TokenSource> task(const std::string& name,
                                  TokenSplit split = TokenSplit::kTrain,
                                  TokenOptions options = {}) {
  return open_token_source(name, options, {split, 0, 0});
}

/// All tokens of a sequence: targets continue them where they count.
std::vector<int64_t> whole(const TaskExample& e) {
  auto all = e.tokens;
  if (e.targets.back() >= 0) all.push_back(e.targets.back());
  return all;
}

}  // namespace

TEST_CASE(
    "tasks: every sequence is in its vocabulary, has a target, and is a function of its "
    "position",
    "[tokens]") {
  for (const auto& row : sequence_tasks()) {
    INFO(row.name);
    const auto source = task(row.name);
    std::set<std::vector<int64_t>> different;
    for (int64_t p = 0; p < 200; ++p) {
      const auto e = example(*source, p);
      int64_t counted = 0;
      for (size_t i = 0; i < e.tokens.size(); ++i) {
        REQUIRE((e.tokens[i] >= 0 && e.tokens[i] < source->vocabulary()));
        REQUIRE(e.targets[i] < source->vocabulary());
        if (e.targets[i] < 0) continue;
        ++counted;
        if (i + 1 < e.tokens.size()) REQUIRE(e.targets[i] == e.tokens[i + 1]);
        REQUIRE(e.parts[i] < static_cast<int64_t>(source->part_names().size()));
      }
      REQUIRE(counted > 0);
      REQUIRE(example(*source, p).tokens == e.tokens);
      different.insert(e.tokens);
    }
    CHECK(different.size() > (std::string(row.name) == "nt" ? 5u : 150u));
    if (std::string(row.name) != "nt")  // of few sequences
      CHECK(example(*source, 3, 1).tokens != example(*source, 3, 2).tokens);
    const auto text = source->tokenizer()->decode(example(*source, 0).tokens);
    CHECK(source->tokenizer()->encode(text, "test") == example(*source, 0).tokens);
  }
}

TEST_CASE("tasks: no sequence is in the training and in the held-out part", "[tokens]") {
  for (const auto& row : sequence_tasks())
    for (const int64_t symbols : {0, 3}) {
      if (symbols && std::string(row.name) == "delete_copy") continue;
      INFO(row.name << ' ' << symbols);
      TokenOptions options;
      options.symbols = symbols;
      const auto train = task(row.name, TokenSplit::kTrain, options),
                 held_out = task(row.name, TokenSplit::kHeldOut, options);
      std::set<std::vector<int64_t>> seen;
      for (int64_t p = 0; p < 1000; ++p) seen.insert(whole(example(*train, p)));
      for (int64_t p = 0; p < 300; ++p) CHECK_FALSE(seen.count(whole(example(*held_out, p, 8))));
    }
}

TEST_CASE("tasks: nt follows its recurrence from the first tau + 1 symbols", "[tokens]") {
  for (const int64_t n : {2, 5, 16})
    for (const int64_t tau : {1, 2, 7}) {
      TokenOptions options;
      options.symbols = n, options.delay = tau;
      const auto source = task("nt", TokenSplit::kTrain, options);
      for (int64_t p = 0; p < 20; ++p) {
        const auto e = example(*source, p);
        for (int64_t t = 0; t < source->length(); ++t) {
          const auto i = static_cast<size_t>(t);
          if (t < tau)
            CHECK(e.targets[i] == -1);
          else
            CHECK(e.targets[i] == (e.tokens[i] + e.tokens[i - static_cast<size_t>(tau)]) % n);
        }
      }
    }
}

TEST_CASE("tasks: iarc follows the rule of the last control token", "[tokens]") {
  TokenOptions options;
  options.switch_rate = 0.2;
  const auto source = task("iarc", TokenSplit::kTrain, options);
  CHECK(source->vocabulary() == 20);
  std::map<int64_t, int64_t> counts;
  for (int64_t p = 0; p < 200; ++p) {
    const auto e = example(*source, p);
    std::vector<int64_t> symbols;  // so far
    int64_t rule = -1;
    std::vector<int64_t> backwards;  // what R has still to give
    for (size_t i = 0; i < e.tokens.size(); ++i) {
      if (e.tokens[i] >= 16) {
        rule = e.tokens[i] - 16;
        backwards = symbols;
      } else {
        symbols.push_back(e.tokens[i]);
      }
      if (e.targets[i] < 0) continue;
      REQUIRE(e.parts[i] == rule);
      const auto last = symbols.back();
      int64_t expected = -1;
      if (rule == 0) expected = (last + 1) % 16;
      if (rule == 1) expected = (last + symbols[symbols.size() - 2]) % 16;
      if (rule == 2) {
        expected = backwards.back();
        backwards.pop_back();
        if (backwards.empty()) {  // from the end again
          size_t given = 0;
          for (size_t k = i; e.tokens[k] < 16; --k) ++given;
          backwards.assign(symbols.begin(), symbols.end() - static_cast<int64_t>(given));
        }
      }
      if (rule == 3) {
        expected = last;
        for (size_t k = 0; k + 1 < symbols.size(); ++k)
          if (symbols[k] == last) expected = symbols[k + 1];
      }
      CHECK(e.targets[i] == expected);
      ++counts[rule];
    }
  }
  for (int64_t rule = 0; rule < 4; ++rule) CHECK(counts[rule] > 1000);
}

TEST_CASE("tasks: multi_nt follows the delay of the last control token", "[tokens]") {
  TokenOptions options;
  options.delay = 3, options.symbols = 5;
  const auto source = task("multi_nt", TokenSplit::kTrain, options);
  CHECK(source->part_names() == std::vector<std::string>{"T1", "T2", "T3"});
  for (int64_t p = 0; p < 50; ++p) {
    const auto e = example(*source, p);
    std::vector<int64_t> symbols;
    int64_t tau = 0;
    for (size_t i = 0; i < e.tokens.size(); ++i) {
      if (e.tokens[i] >= 5)
        tau = e.tokens[i] - 4;
      else
        symbols.push_back(e.tokens[i]);
      if (e.targets[i] < 0) continue;
      CHECK(e.parts[i] == tau - 1);
      CHECK(e.targets[i] ==
            (symbols.back() + symbols[symbols.size() - 1 - static_cast<size_t>(tau)]) % 5);
    }
  }
}

TEST_CASE("tasks: count_ones counts and find_zero finds", "[tokens]") {
  for (const bool counts : {true, false}) {
    const auto source = task(counts ? "count_ones" : "find_zero");
    std::set<int64_t> sizes;
    for (int64_t p = 0; p < 300; ++p) {
      const auto e = example(*source, p);
      int64_t i = 0, ones = 0, zero = -1;
      for (; e.tokens[static_cast<size_t>(i)] < 2; ++i) {
        ones += e.tokens[static_cast<size_t>(i)];
        if (e.tokens[static_cast<size_t>(i)] == 0) zero = i;
      }
      CHECK(e.tokens[static_cast<size_t>(i)] == 10);
      CHECK(e.size == i);
      int64_t answer = 0;
      for (int64_t d = 0; d < 4; ++d) answer = 10 * answer + e.targets[static_cast<size_t>(i + d)];
      CHECK(answer == (counts ? ones : zero));
      if (!counts) CHECK(ones == i - 1);
      sizes.insert(i);
    }
    CHECK(sizes.size() > 50);
  }
}

TEST_CASE("tasks: delete_copy asks for the one symbol that is not named again", "[tokens]") {
  const auto source = task("delete_copy");
  CHECK(source->length() == 9);
  for (int64_t p = 0; p < 200; ++p) {
    const auto e = example(*source, p);
    std::multiset<int64_t> left(e.tokens.begin(), e.tokens.begin() + 4);
    CHECK(std::set<int64_t>(left.begin(), left.end()).size() == 4);
    CHECK(e.tokens[4] == 16);
    for (size_t i = 5; i < 8; ++i) CHECK(left.erase(e.tokens[i]) == 1);
    CHECK(e.tokens[8] == 17);
    CHECK(e.targets[8] == *left.begin());
    for (size_t i = 0; i < 8; ++i) CHECK(e.targets[i] == -1);
  }
}

TEST_CASE("tasks: ioi asks for the name that is not the giver's", "[tokens]") {
  const auto source = task("ioi");
  for (int64_t p = 0; p < 50; ++p) {
    const auto e = example(*source, p);
    for (size_t s = 0; s + 8 < e.tokens.size(); s += 9) {
      const auto a = e.tokens[s], b = e.tokens[s + 2], giver = e.tokens[s + 4];
      CHECK(a != b);
      CHECK((giver == a || giver == b));
      CHECK(e.targets[s + 6] == (giver == a ? b : a));
      CHECK(e.parts[s + 6] == (giver == a ? 0 : 1));
    }
  }
}

TEST_CASE("tasks: induction repeats its block", "[tokens]") {
  const auto source = task("induction");
  for (int64_t p = 0; p < 50; ++p) {
    const auto e = example(*source, p);
    for (size_t i = 0; i < e.tokens.size(); ++i)
      if (e.targets[i] >= 0)
        CHECK(e.targets[i] == e.tokens[i + 1 - static_cast<size_t>(e.size)]);
      else
        CHECK(i < static_cast<size_t>(e.size));
  }
}

TEST_CASE("tasks: options that leave no room are refused", "[tokens]") {
  TokenOptions options;
  options.length = 2, options.delay = 5;
  CHECK_THROWS_WITH(task("nt", TokenSplit::kTrain, options), Catch::Contains("tokens.length 2"));
  options = {};
  options.items = 20;
  CHECK_THROWS_WITH(task("delete_copy", TokenSplit::kTrain, options),
                    Catch::Contains("tokens.items 20"));
}

TEST_CASE("token loader: batches cover the positions, whatever their size", "[tokens]") {
  const auto source = task("iarc");
  TokenLoader by_four(*source, 4, 9, 8), by_two(*source, 2, 9, 8);
  const auto four = by_four.next();
  const auto a = by_two.next(), b = by_two.next();
  CHECK(torch::equal(four.sequences, torch::cat({a.sequences, b.sequences})));
  CHECK(torch::equal(four.targets, torch::cat({a.targets, b.targets})));
  CHECK(torch::equal(four.positions, torch::arange(8, 12)));
  CHECK(four.slice(1, 3).sequences.size(0) == 2);
  CHECK(four.size() == 4);
}

TEST_CASE("tasks: exactly the options that a row names change its sequences", "[tokens]") {
  const std::map<std::string, TokenOptions> changed = [] {
    std::map<std::string, TokenOptions> all;
    all["symbols"].symbols = 20;
    all["delay"].delay = 3;
    all["items"].items = 6;
    all["switch_rate"].switch_rate = 0.3;
    all["held_out"].held_out = 0.3;
    return all;
  }();
  for (const auto& row : sequence_tasks())
    for (const auto& [option, options] : changed) {
      INFO(row.name << " " << option);
      const auto usual = task(row.name), other = task(row.name, TokenSplit::kTrain, options);
      bool differs = usual->length() != other->length();
      for (int64_t p = 0; p < 200 && !differs; ++p)
        differs = whole(example(*usual, p)) != whole(example(*other, p));
      CHECK(differs == (std::string(row.reads).find(option) != std::string::npos));
    }
}

TEST_CASE("tasks: the length of a source in training is known without opening it", "[tokens]") {
  for (const auto& row : sequence_tasks())
    CHECK(length_in_training(row.name, {}) == task(row.name)->length());
  TokenOptions options;
  options.length = 24;
  CHECK(length_in_training("nt", options) == 24);
  CHECK(length_in_training("book.txt", options) == 24);
  CHECK(length_in_training("book.txt", {}) == 0);
}
