// The generated tasks. Each is an infinite series of sequences, keyed by (seed, position), and no
// sequence is both in the training and in the held-out part.
#include <fmt/format.h>

#include <functional>
#include <vector>

#include "base/check.h"
#include "data/permutation.h"
#include "data/tokens/generated_task.h"
#include "data/tokens/token_source.h"

namespace uvic::data {
namespace {

int64_t given_or(int64_t asked, int64_t usual) { return asked > 0 ? asked : usual; }

int64_t random_below(base::RandomStream& random, int64_t n) {
  return random.below(static_cast<uint32_t>(n));
}

void require_length(const char* task, int64_t length, int64_t least) {
  base::require(length >= least,
                "--tokens.length {}: {} needs {} or more with these options",
                length,
                task,
                least);
}

/// Symbols so far, without the tokens that change the rule.
using History = std::vector<int64_t>;

/// x(t + 1) = (x(t) + x(t - tau)) mod N, from tau + 1 random symbols, not all 0. Every later symbol
/// follows from those. Source: Gros 2024, arXiv:2407.18601 (NT task).
///
/// There are N^(tau + 1) - 1 sequences. Where they are fewer than 2^20 an eighth of them (one at
/// least) is held out by number.
std::unique_ptr<TokenSource> make_nt(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 2), tau = options.delay;
  Rule rule;
  rule.name = "nt";
  rule.length = given_or(options.length, 32);
  require_length("nt", rule.length, tau + 1);
  base::require(n >= 2, "--tokens.symbols {}: nt needs 2 or more", n);
  rule.token_names = number_names(n);
  rule.parts = {"next symbol"};
  rule.description = fmt::format("N = {}, tau = {}", n, tau);
  rule.make = [n, tau](base::RandomStream& random, int64_t tokens, Draft& draft) {
    bool zero = true;
    while (zero) {
      draft.tokens.clear();
      draft.part.clear();
      for (int64_t i = 0; i <= tau; ++i) {
        draft.add(random_below(random, n));
        zero = zero && draft.tokens.back() == 0;
      }
    }
    while (draft.count() < tokens) {
      const auto t = draft.tokens.size() - 1;
      draft.add((draft.tokens[t] + draft.tokens[t - static_cast<size_t>(tau)]) % n, 0);
    }
  };
  constexpr int64_t kFew = 1 << 20;
  int64_t count = 1;
  for (int64_t i = 0; i <= tau && count <= kFew; ++i) count *= n;
  if (count <= kFew) {
    rule.count = count - 1;
    rule.index = [n, tau](const Draft& draft) {
      int64_t state = 0;
      for (int64_t i = 0; i <= tau; ++i) state = state * n + draft.tokens[static_cast<size_t>(i)];
      return state - 1;
    };
  }
  return make_generated_task(std::move(rule), split);
}

/// Symbols under rules that tokens of their own switch: `next(rule, history, since)` gives the
/// symbol after `history`, of which `since` symbols precede the switch.
Rule switching_rule(const char* name,
                    const TokenOptions& options,
                    int64_t usual_length,
                    int64_t symbols,
                    int64_t first_symbols,
                    std::vector<std::string> rules,
                    std::function<int64_t(int64_t, const History&, size_t)> next) {
  Rule rule;
  rule.name = name;
  rule.length = given_or(options.length, usual_length);
  require_length(name, rule.length, first_symbols + 2);
  rule.token_names = number_names(symbols);
  for (const auto& word : rules) rule.token_names.push_back(word);
  rule.parts = rules;
  const auto kinds = static_cast<int64_t>(rules.size());
  const auto rate = static_cast<float>(options.switch_rate);
  rule.make = [=](base::RandomStream& random, int64_t tokens, Draft& draft) {
    History history;
    for (int64_t i = 0; i < first_symbols; ++i) {
      history.push_back(random_below(random, symbols));
      draft.add(history.back());
    }
    int64_t kind = -1;
    size_t since = 0;
    while (draft.count() < tokens) {
      if (kind < 0 || random.uniform() < rate) {
        kind = random_below(random, kinds);
        since = history.size();
        draft.add(symbols + kind);
        continue;
      }
      history.push_back(next(kind, history, since));
      draft.add(history.back(), kind);
    }
  };
  return rule;
}

/// Several delays in one sequence: the token T<tau> switches to x(t + 1) = (x(t) + x(t - tau)) mod
/// N.
std::unique_ptr<TokenSource> make_multi_nt(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 4);
  std::vector<std::string> rules;
  for (int64_t tau = 1; tau <= options.delay; ++tau) rules.push_back(fmt::format("T{}", tau));
  auto rule = switching_rule("multi_nt",
                             options,
                             64,
                             n,
                             options.delay + 1,
                             rules,
                             [n](int64_t kind, const History& history, size_t) {
                               const auto t = history.size() - 1;
                               return (history[t] + history[t - static_cast<size_t>(kind + 1)]) % n;
                             });
  rule.description =
      fmt::format("N = {}, tau 1 to {}, switch rate {}", n, options.delay, options.switch_rate);
  return make_generated_task(std::move(rule), split);
}

/// The symbol that followed the last earlier occurrence of the current one; else the current one.
int64_t in_context(const History& history) {
  for (size_t i = history.size() - 1; i-- > 0;)
    if (history[i] == history.back()) return history[i + 1];
  return history.back();
}

/// Source: Gros 2025, arXiv:2508.04461 (IARC). N symbols and four tokens that switch the rule:
///   I  x(t + 1) = (x(t) + 1) mod N
///   A  x(t + 1) = (x(t) + x(t - 1)) mod N
///   R  the symbols before R backwards, again from the end when they are used up
///   C  the symbol that followed the last earlier occurrence of x(t), or x(t) itself. C is not
///      public: this rule is ours.
std::unique_ptr<TokenSource> make_iarc(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 16);
  auto rule = switching_rule("iarc",
                             options,
                             128,
                             n,
                             2,
                             {"I", "A", "R", "C"},
                             [n](int64_t kind, const History& history, size_t since) {
                               const auto t = history.size() - 1;
                               if (kind == 0) return (history[t] + 1) % n;
                               if (kind == 1) return (history[t] + history[t - 1]) % n;
                               if (kind == 3) return in_context(history);
                               return history[since - 1 - (history.size() - since) % since];
                             });
  rule.description = fmt::format("N = {}, switch rate {}", n, options.switch_rate);
  return make_generated_task(std::move(rule), split);
}

constexpr int64_t kDigits = 4;

/// A number after its question: "=", then four decimal digits.
void add_answer(int64_t value, Draft& draft) {
  draft.add(10);
  for (int64_t unit = 1000; unit > 0; unit /= 10) draft.add(value / unit % 10, 0);
}

/// A row of bits of random length, then a question about it and the answer.
Rule bits_rule(const char* name,
               const TokenOptions& options,
               std::function<int64_t(base::RandomStream&, int64_t bits, Draft&)> add_bits) {
  Rule rule;
  rule.name = name;
  rule.length = given_or(options.length, 64);
  require_length(name, rule.length, kDigits + 1);
  base::require(
      rule.length < 10000, "--tokens.length {}: answers have {} digits", rule.length, kDigits);
  rule.token_names = number_names(10);
  rule.token_names.insert(rule.token_names.end(), {"=", "_"});
  rule.parts = {"digits"};
  rule.description = "decimal";
  rule.make = [add_bits = std::move(add_bits)](
                  base::RandomStream& random, int64_t tokens, Draft& draft) {
    const int64_t bits = 1 + random_below(random, tokens - 1 - kDigits);
    draft.size = bits;
    add_answer(add_bits(random, bits, draft), draft);
    while (draft.count() < tokens) draft.add(11);
  };
  return rule;
}

/// How many ones are there? The share of ones is drawn for each sequence, so that every count
/// comes.
std::unique_ptr<TokenSource> make_count_ones(const TokenOptions& options, TokenSplit split) {
  auto rule =
      bits_rule("count_ones", options, [](base::RandomStream& random, int64_t bits, Draft& draft) {
        const float share = random.uniform();
        int64_t ones = 0;
        for (int64_t i = 0; i < bits; ++i) {
          const int64_t bit = random.uniform() < share ? 1 : 0;
          ones += bit;
          draft.add(bit);
        }
        return ones;
      });
  return make_generated_task(std::move(rule), split);
}

/// Where is the only zero? Places count from 0.
std::unique_ptr<TokenSource> make_find_zero(const TokenOptions& options, TokenSplit split) {
  auto rule =
      bits_rule("find_zero", options, [](base::RandomStream& random, int64_t bits, Draft& draft) {
        const int64_t place = random_below(random, bits);
        for (int64_t i = 0; i < bits; ++i) draft.add(i == place ? 0 : 1);
        return place;
      });
  return make_generated_task(std::move(rule), split);
}

/// n different symbols, "-", n - 1 of them in another order, "?", and the one that remains.
///
/// Why it needs negative weights. The answer is a sum over tokens: the symbols before "-" count +1,
/// those after it count -1. One head sees at "?" the sum of w_j V (e(x_j) + p_j), where e is a
/// symbol's embedding and p that of its position. Its share for a symbol x is (w_1 + w_2) V e(x),
/// with the weights of its two places (w_2 = 0 for the answer). Weights of softmax are positive,
/// and depend on x only through the key, which can't know whether x comes again. So up to that, the
/// deleted symbols have about twice the answer's share with the same sign, whatever V is: no linear
/// readout prefers the answer both to them and to absent symbols, whose share is 0. Cog gives the
/// places after "-" negative weights, so deleted symbols cancel, and only the answer remains.
/// Softmax needs a second head (with -V), or layers after it that undo the sum.
std::unique_ptr<TokenSource> make_delete_copy(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 16), items = options.items;
  base::require(items <= n,
                "--tokens.items {}: delete_copy has {} symbols (tokens.symbols) to choose from",
                items,
                n);
  Rule rule;
  rule.name = "delete_copy";
  rule.length = given_or(options.length, 2 * items + 1);
  require_length("delete_copy", rule.length, 2 * items + 1);
  rule.token_names = number_names(n);
  rule.token_names.insert(rule.token_names.end(), {"-", "?", "_"});
  rule.parts = {"remaining symbol"};
  rule.description = fmt::format("{} of {} symbols", items, n);
  rule.make = [n, items](base::RandomStream& random, int64_t tokens, Draft& draft) {
    const Permutation symbols(n, random.next()), order(items, random.next());
    for (int64_t i = 0; i < items; ++i) draft.add(symbols(i));
    draft.add(n);
    for (int64_t i = 1; i < items; ++i) draft.add(symbols(order(i)));
    draft.add(n + 1);
    draft.add(symbols(order(0)), 0);
    while (draft.count() < tokens) draft.add(n + 2);
  };
  return make_generated_task(std::move(rule), split);
}

/// A random block of random length, again and again: what followed this symbol the last time?
/// Source: Olsson et al. 2022, arXiv:2209.11895 (induction heads).
std::unique_ptr<TokenSource> make_induction(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 32);
  Rule rule;
  rule.name = "induction";
  rule.length = given_or(options.length, 64);
  require_length("induction", rule.length, 8);
  rule.token_names = number_names(n);
  rule.parts = {"repeated"};
  rule.description = fmt::format("N = {}", n);
  rule.make = [n](base::RandomStream& random, int64_t tokens, Draft& draft) {
    const int64_t block = tokens / 4 + random_below(random, tokens / 4);
    draft.size = block;
    while (draft.count() < tokens) {
      const int64_t i = draft.count();
      if (i < block)
        draft.add(random_below(random, n));
      else  // the first repeated symbol can't be known
        draft.add(draft.tokens[static_cast<size_t>(i - block)], i > block ? 0 : -1);
    }
  };
  return make_generated_task(std::move(rule), split);
}

/// Indirect objects: "A and B went . S gave to", with S one of A and B: the other one. Source: Wang
/// et al. 2022, arXiv:2211.00593, here with symbols for names and one template.
std::unique_ptr<TokenSource> make_ioi(const TokenOptions& options, TokenSplit split) {
  const int64_t n = given_or(options.symbols, 16);
  base::require(n >= 2, "--tokens.symbols {}: ioi needs 2 names or more", n);
  constexpr int64_t kSentence = 9;
  Rule rule;
  rule.name = "ioi";
  rule.length = given_or(options.length, 4 * kSentence);
  require_length("ioi", rule.length, kSentence - 1);
  rule.token_names = number_names(n);
  rule.token_names.insert(rule.token_names.end(), {"and", "went", "gave", "to", "."});
  rule.parts = {"ABA", "ABB"};
  rule.description = fmt::format("{} names", n);
  rule.make = [n](base::RandomStream& random, int64_t tokens, Draft& draft) {
    while (draft.count() < tokens) {
      const int64_t a = random_below(random, n), b = (a + 1 + random_below(random, n - 1)) % n;
      const bool second = random.next() >> 63;
      for (const int64_t token : {a, n, b, n + 1, second ? b : a, n + 2, n + 3}) draft.add(token);
      draft.add(second ? a : b, second ? 1 : 0);
      draft.add(n + 4);
    }
  };
  return make_generated_task(std::move(rule), split);
}

}  // namespace

base::Table<SequenceTask>& sequence_tasks() {
  static base::Table<SequenceTask> tasks(
      "data",
      {
          {"nt", "x(t+1) = x(t) + x(t-tau) mod N", 32, 2, make_nt, "symbols,delay"},
          {"multi_nt",
           "nt with delays that tokens switch",
           64,
           4,
           make_multi_nt,
           "symbols,delay,switch_rate"},
          {"iarc",
           "increment, add, reverse, context: rules that tokens switch",
           128,
           16,
           make_iarc,
           "symbols,switch_rate"},
          {"count_ones", "how many ones a row of bits has", 64, 2, make_count_ones, ""},
          {"find_zero", "where the only zero of a row of ones is", 64, 2, make_find_zero, ""},
          {"delete_copy",
           "the one of some symbols that is not named again",
           0,
           16,
           make_delete_copy,
           "symbols,items"},
          {"induction", "a repeated block of random symbols", 64, 32, make_induction, "symbols"},
          {"ioi", "indirect objects of sentences about two names", 36, 16, make_ioi, "symbols"},
      });
  return tasks;
}

int64_t length_in_training(const std::string& source, const TokenOptions& options) {
  if (options.length > 0) return options.length;
  const auto* task = sequence_tasks().find(source);
  if (!task) return 0;
  return task->length > 0 ? task->length : task->make(options, TokenSplit::kTrain)->length();
}

}  // namespace uvic::data
