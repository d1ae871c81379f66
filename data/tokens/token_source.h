// Sequences of tokens to train on: generated tasks, text, and arrays of tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/field.h"
#include "data/examples.h"
#include "data/tokens/tokenizer.h"

namespace uvic::data {

/// The section [tokens] of a config: what the source of sequences is asked for.
struct TokenOptions {
  int64_t length = 0;
  int64_t symbols = 0;
  int64_t delay = 2;
  int64_t items = 4;
  double switch_rate = 0.1;
  double held_out = 0.05;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "length",
        length,
        Field{"Tokens of a sequence; 0: the usual length of a task, of text as many as the network "
              "has positions for",
              base::from(0, 1 << 24)});
    visit("symbols",
          symbols,
          Field{"Symbols of a generated task (N); 0: the usual number", base::from(0, 4096)});
    visit(
        "delay", delay, Field{"nt: the delay tau; multi_nt: the longest delay", base::from(1, 64)});
    visit(
        "items",
        items,
        Field{"delete_copy: the number of symbols to choose from", base::from(2, 256)}.advanced());
    visit("switch_rate",
          switch_rate,
          Field{"iarc, multi_nt: probability that a token changes the rule", base::from(0, 0.5)}
              .advanced());
    visit(
        "held_out",
        held_out,
        Field{"Text and arrays: the share at the end that training leaves out", base::from(0, 0.9)}
            .advanced());
  }
  void validate() const { base::check_fields(*this, "tokens."); }
};

/// Which part of a source: no sequence is in both of the first two.
enum class TokenSplit { kTrain, kHeldOut, kAll };

/// Where one sequence is written to, each of length() numbers.
struct TokenRow {
  int64_t* tokens;
  int64_t* targets;  ///< the token after each, or -1 where it does not count
  int64_t* parts;    ///< the index in part_names() of each target that counts; null: not wanted
};

class TokenSource : public Examples {
 public:
  virtual int64_t length() const = 0;      ///< tokens of a sequence
  virtual int64_t vocabulary() const = 0;  ///< tokens are 0 .. vocabulary() - 1
  virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;
  /// Sub-tasks, for accuracies of their own; at least one.
  virtual std::vector<std::string> part_names() const { return {"all"}; }
  /// Different sequences; 0: infinitely many.
  virtual int64_t size() const { return 0; }

  /// Writes the sequence at `position` of the infinite series that `seed` gives; returns the size
  /// of its problem, for accuracies by size (of text: its length). Safe to call from several
  /// threads.
  virtual int64_t read(uint64_t seed, int64_t position, const TokenRow& row) const = 0;

  const std::vector<std::string>& class_names() const override {
    static const std::vector<std::string> none;
    return none;
  }
};

/// What a source is opened for.
struct TokenUse {
  TokenSplit split = TokenSplit::kTrain;
  int64_t positions = 0;       ///< of the network: the length of text where none is asked for
  int64_t vocabulary = 0;      ///< of the network: that of arrays, which do not say theirs
  std::string tokenizer = {};  ///< of text: its file (open_tokenizer.h); empty: bytes
};

/// A generated task: a row of the table.
struct SequenceTask {
  const char* name;
  const char* help;
  int64_t length, symbols;  ///< the usual ones; length 0: from the options
  /// Throws std::invalid_argument for options that leave no room.
  std::unique_ptr<TokenSource> (*make)(const TokenOptions& options, TokenSplit split);
  const char* reads;  ///< the TokenOptions besides length that it reads, comma-separated
};
base::Table<SequenceTask>& sequence_tasks();

/// Tokens of a sequence of `source`, without opening it; 0: as many as the network has positions
/// for.
int64_t length_in_training(const std::string& source, const TokenOptions& options);

/// Opens the name of a generated task; a text file or a folder of them (.txt, .md and files without
/// ending, in the order of their paths); or an array of tokens, .npy (integers) or .bin (uint16, as
/// nanoGPT writes). Throws std::runtime_error naming a file that can't be read, is empty or is no
/// UTF-8, std::invalid_argument for bad options, and for a tokenizer with a generated task.
std::unique_ptr<TokenSource> open_token_source(const std::string& source,
                                               const TokenOptions& options,
                                               const TokenUse& use);

/// The tokenizer that open_token_source() would use, without its files; `file`, where it is not
/// empty, is that of the tokenizer. Else tokens of arrays, and those of an empty `source`, are
/// written as numbers.
std::shared_ptr<const Tokenizer> tokenizer_of_source(const std::string& source,
                                                     const TokenOptions& options,
                                                     int64_t vocabulary,
                                                     const std::string& file = "");

}  // namespace uvic::data
