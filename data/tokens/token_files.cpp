#include "data/tokens/token_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>

#include "base/check.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data/formats/mapped_file.h"
#include "data/formats/npy_integers.h"
#include "data/formats/xxh64.h"
#include "data/permutation.h"
#include "data/tokens/open_tokenizer.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTokenOrderStream = 0x746f6b656e73;  // "tokens"
constexpr uint64_t kTokenShiftStream = 0x7368696674;    // "shift"

/// A run of tokens in memory or in a mapped file.
class Document {
 public:
  virtual ~Document() = default;
  virtual int64_t size() const = 0;
  virtual int64_t token(int64_t index) const = 0;
  virtual const formats::MappedFile& file() const = 0;
};

class TextDocument : public Document {
 public:
  explicit TextDocument(std::shared_ptr<const formats::MappedFile> file) : file_(std::move(file)) {
    const auto bad = first_invalid_utf8(file_->data(), TextDocument::size());
    if (bad >= 0)
      throw std::runtime_error(
          fmt::format("{}: byte {} is not UTF-8; convert the text to UTF-8, or give token arrays "
                      "(.npy, .bin)",
                      file_->name(),
                      bad));
  }
  int64_t size() const override { return static_cast<int64_t>(file_->size()); }
  int64_t token(int64_t index) const override { return file_->data()[index]; }
  const formats::MappedFile& file() const override { return *file_; }

 private:
  std::shared_ptr<const formats::MappedFile> file_;
};

/// Text by another tokenizer than bytes: its tokens in memory, four bytes each.
class EncodedDocument : public Document {
 public:
  EncodedDocument(std::shared_ptr<const formats::MappedFile> file, const Tokenizer& tokenizer)
      : file_(std::move(file)) {
    const std::string text(reinterpret_cast<const char*>(file_->data()), file_->size());
    for (const auto& part : {tokenizer.start(), tokenizer.encode(text, file_->name())})
      tokens_.insert(tokens_.end(), part.begin(), part.end());
    // The boundary itself follows every document.
    auto end = tokenizer.end();
    if (!end.empty() && end.back() == tokenizer.boundary()) end.pop_back();
    tokens_.insert(tokens_.end(), end.begin(), end.end());
    file_->require_unchanged();
  }
  int64_t size() const override { return static_cast<int64_t>(tokens_.size()); }
  int64_t token(int64_t index) const override { return tokens_[static_cast<size_t>(index)]; }
  const formats::MappedFile& file() const override { return *file_; }

 private:
  std::shared_ptr<const formats::MappedFile> file_;
  std::vector<int32_t> tokens_;
};

/// Little-endian uint16.
class Uint16Document : public Document {
 public:
  explicit Uint16Document(std::shared_ptr<const formats::MappedFile> file)
      : file_(std::move(file)) {
    if (file_->size() % 2 != 0)
      throw std::runtime_error(fmt::format(
          "{}: {} bytes, not a whole number of uint16 tokens", file_->name(), file_->size()));
  }
  int64_t size() const override { return static_cast<int64_t>(file_->size() / 2); }
  int64_t token(int64_t index) const override {
    const uint8_t* at = file_->data() + 2 * index;
    return at[0] + 256 * static_cast<int64_t>(at[1]);
  }
  const formats::MappedFile& file() const override { return *file_; }

 private:
  std::shared_ptr<const formats::MappedFile> file_;
};

/// An array of any integers; their order is that of C, whatever the order in the file.
class ArrayDocument : public Document {
 public:
  explicit ArrayDocument(std::shared_ptr<const formats::MappedFile> file) : file_(std::move(file)) {
    const auto integers = formats::read_npy_integers(file_);
    array_ = integers.bits.flatten();
    is_unsigned_ = integers.is_unsigned;
    if (!at::isIntegralType(array_.scalar_type(), /*includeBool=*/false))
      throw std::runtime_error(fmt::format(
          "{}: {}, want integers: tokens", file_->name(), c10::toString(array_.scalar_type())));
  }
  int64_t size() const override { return array_.numel(); }
  int64_t token(int64_t index) const override {
    switch (array_.scalar_type()) {
      case torch::kUInt8:
        return array_.data_ptr<uint8_t>()[index];
      case torch::kInt8:
        return array_.data_ptr<int8_t>()[index];
      case torch::kInt16:
        return number<uint16_t>(array_.data_ptr<int16_t>()[index]);
      case torch::kInt32:
        return number<uint32_t>(array_.data_ptr<int32_t>()[index]);
      default:  // of uint64, numbers of 2^63 and more are below 0: outside every vocabulary
        return array_.data_ptr<int64_t>()[index];
    }
  }
  const formats::MappedFile& file() const override { return *file_; }

 private:
  std::shared_ptr<const formats::MappedFile> file_;
  template <class Unsigned, class Signed>
  int64_t number(Signed bits) const {
    return is_unsigned_ ? static_cast<int64_t>(static_cast<Unsigned>(bits)) : bits;
  }

  torch::Tensor array_;
  bool is_unsigned_ = false;
};

bool is_text(const fs::path& path) {
  const auto ending = path.extension();
  return ending.empty() || ending == ".txt" || ending == ".md";
}

bool is_array(const fs::path& path) {
  return path.extension() == ".npy" || path.extension() == ".bin";
}

std::unique_ptr<Document> open_document(const fs::path& path, const Tokenizer& tokenizer) {
  auto file = formats::MappedFile::open(path);
  if (file->size() == 0)
    throw std::runtime_error(fmt::format("{}: empty, no token to train on", path.string()));
  if (path.extension() == ".bin") return std::make_unique<Uint16Document>(std::move(file));
  if (path.extension() == ".npy") return std::make_unique<ArrayDocument>(std::move(file));
  if (tokenizer.fingerprint().empty()) return std::make_unique<TextDocument>(std::move(file));
  return std::make_unique<EncodedDocument>(std::move(file), tokenizer);
}

/// The documents of a source, whatever part of it is read.
using Corpus = std::vector<std::unique_ptr<Document>>;

std::shared_ptr<const Corpus> read_corpus(const std::vector<fs::path>& files,
                                          const Tokenizer& tokenizer) {
  const auto corpus = std::make_shared<Corpus>(files.size());
  const auto count = static_cast<int64_t>(files.size());
  const int64_t threads = tokenizer.fingerprint().empty() ? 1 : at::get_num_threads();
  base::side_by_side(count, threads, [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    (*corpus)[at] = open_document(files[at], tokenizer);
  });
  return corpus;
}

/// The corpus of these texts. Training and its held-out part share one, so that a tokenizer encodes
/// them once.
std::shared_ptr<const Corpus> open_corpus(const std::vector<fs::path>& files,
                                          const Tokenizer& tokenizer) {
  if (tokenizer.fingerprint().empty()) return read_corpus(files, tokenizer);
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<const Corpus>> opened;
  std::string key = tokenizer.fingerprint();
  for (const auto& path : files) {
    const auto file = formats::MappedFile::open(path);
    formats::Xxh64 hash;
    hash.update(file->data(), file->size());
    key += fmt::format("\n{} {}", path.string(), hash.hex());
  }
  const std::lock_guard<std::mutex> lock(mutex);
  if (auto known = opened[key].lock()) return known;
  auto corpus = read_corpus(files, tokenizer);
  opened[key] = corpus;
  return corpus;
}

std::vector<fs::path> files_of(const fs::path& source) {
  if (!fs::is_directory(source)) return {source};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(source))
    if (entry.is_regular_file() && is_text(entry.path()) &&
        entry.path().filename().string()[0] != '.')
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw std::runtime_error(
        fmt::format("{}: no text in this folder; looked for .txt, .md and files without ending",
                    source.string()));
  return files;
}

class TokenFiles : public TokenSource {
 public:
  TokenFiles(const fs::path& source, const TokenOptions& options, const TokenUse& use)
      : source_(source.string()) {
    const auto files = files_of(source);
    const bool arrays = is_array(files.front());
    if (!use.tokenizer.empty())
      tokenizer_ = open_tokenizer(use.tokenizer);
    else
      tokenizer_ =
          arrays ? make_word_tokenizer(number_names(use.vocabulary)) : make_byte_tokenizer();
    boundary_ = arrays ? -1 : tokenizer_->boundary();
    vocabulary_ = arrays ? use.vocabulary : tokenizer_->vocabulary();
    corpus_ = arrays ? read_corpus(files, *tokenizer_) : open_corpus(files, *tokenizer_);
    for (const auto& document : *corpus_)
      ends_.push_back(total_ += document->size() + (boundary_ >= 0 ? 1 : 0));
    length_ = options.length > 0 ? options.length : use.positions;
    const auto held_out = static_cast<int64_t>(static_cast<double>(total_) * options.held_out);
    begin_ = use.split == TokenSplit::kHeldOut ? total_ - held_out : 0;
    end_ = use.split == TokenSplit::kTrain ? total_ - held_out : total_;
    shuffled_ = use.split == TokenSplit::kTrain;
    if (end_ - begin_ < length_ + 1)
      throw std::runtime_error(fmt::format(
          "{}: {} tokens{}, a sequence needs {} and one more; give more text or a shorter "
          "--tokens.length",
          source_,
          end_ - begin_,
          use.split == TokenSplit::kHeldOut ? " held out (tokens.held_out)" : "",
          length_));
    // Room for every offset below length_, if there are two sequences at least.
    const int64_t room = end_ - begin_;
    sequences_ =
        shuffled_ && room >= 2 * length_ ? (room - length_) / length_ : (room - 1) / length_;
    shifts_ = shuffled_ && room >= 2 * length_;
  }

  int64_t length() const override { return length_; }
  int64_t vocabulary() const override { return vocabulary_; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  int64_t size() const override { return sequences_; }

  int64_t read(uint64_t seed, int64_t position, const TokenRow& row) const override {
    const auto epoch = static_cast<uint64_t>(position / sequences_);
    int64_t place = position % sequences_, shift = 0;
    if (shuffled_)
      place =
          Permutation(sequences_, base::hash2(base::hash2(seed, kTokenOrderStream), epoch))(place);
    if (shifts_)
      shift = static_cast<int64_t>(base::hash2(base::hash2(seed, kTokenShiftStream), epoch) %
                                   static_cast<uint64_t>(length_));
    const int64_t first = begin_ + shift + place * length_;
    auto document = std::upper_bound(ends_.begin(), ends_.end(), first) - ends_.begin();
    int64_t inside = first - (document > 0 ? ends_[static_cast<size_t>(document - 1)] : 0);
    const auto first_read = document;
    for (int64_t i = 0; i <= length_; ++i, ++inside) {
      while (inside >= size_of(document)) inside -= size_of(document++);
      const int64_t token = token_at(document, inside);
      if (i < length_) row.tokens[i] = token;
      if (i > 0) row.targets[i - 1] = token;
    }
    // Read first, then checked: another program may write into a file meanwhile.
    for (auto read = first_read; read <= document; ++read)
      (*corpus_)[static_cast<size_t>(read)]->file().require_unchanged();
    if (row.parts) std::fill(row.parts, row.parts + length_, int64_t{0});
    return length_;
  }

  std::string describe() const override {
    const auto tokenizer = tokenizer_->fingerprint();
    return fmt::format("{}: {} tokens in {} files, sequences of {}{}{}",
                       source_,
                       end_ - begin_,
                       corpus_->size(),
                       length_,
                       tokenizer.empty() ? "" : ", ",
                       tokenizer);
  }

  std::string fingerprint() const override {
    formats::Xxh64 hash;
    for (const auto& document : *corpus_) {
      const auto& file = document->file();
      constexpr size_t kBlock = 65536;
      const auto size = fmt::format("{} ", file.size());
      hash.update(size.data(), size.size());
      for (const size_t at : {size_t{0}, file.size() / 2, file.size()}) {
        const size_t begin = at > kBlock ? at - kBlock : 0;
        hash.update(file.data() + begin, std::min(kBlock, file.size() - begin));
      }
    }
    const auto tokenizer = tokenizer_->fingerprint();
    return fmt::format("tokens {} length={} files={} blocks={}{}{}",
                       total_,
                       length_,
                       corpus_->size(),
                       hash.hex(),
                       tokenizer.empty() ? "" : " ",
                       tokenizer);
  }

 private:
  int64_t size_of(int64_t document) const {
    const auto d = static_cast<size_t>(document);
    return ends_[d] - (d > 0 ? ends_[d - 1] : 0);
  }

  int64_t token_at(int64_t document, int64_t inside) const {
    const auto& in = *(*corpus_)[static_cast<size_t>(document)];
    if (inside == in.size()) return boundary_;
    const int64_t token = in.token(inside);
    if (token < 0 || token >= vocabulary())
      throw std::runtime_error(fmt::format(
          "{}: token {} at position {}, the network has 0 to {}; was another tokenizer used?",
          in.file().name(),
          token,
          inside,
          vocabulary() - 1));
    return token;
  }

  std::string source_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Corpus> corpus_;
  std::vector<int64_t> ends_;  ///< of each document, its boundary included
  int64_t boundary_ = -1, vocabulary_ = 0, total_ = 0, length_ = 0, begin_ = 0, end_ = 0,
          sequences_ = 0;
  bool shuffled_ = false, shifts_ = false;
};

}  // namespace

std::unique_ptr<TokenSource> open_token_files(const std::string& source,
                                              const TokenOptions& options,
                                              const TokenUse& use) {
  std::error_code ignored;
  if (!fs::exists(source, ignored))
    throw std::runtime_error(fmt::format("{}: no such file or folder, and none of the tasks {}",
                                         source,
                                         fmt::join(sequence_tasks().names(), ", ")));
  if (!fs::is_directory(source, ignored))
    base::require(is_text(source) || is_array(source),
                  "{}: want text (.txt, .md, no ending), or tokens (.npy, .bin)",
                  source);
  return std::make_unique<TokenFiles>(source, options, use);
}

std::unique_ptr<TokenSource> open_token_source(const std::string& source,
                                               const TokenOptions& options,
                                               const TokenUse& use) {
  options.validate();
  if (const auto* task = sequence_tasks().find(source)) {
    base::require(use.tokenizer.empty(),
                  "--tokenizer: leave it out; {} is a generated task, which has tokens of its own",
                  source);
    return task->make(options, use.split);
  }
  return open_token_files(source, options, use);
}

std::shared_ptr<const Tokenizer> tokenizer_of_source(const std::string& source,
                                                     const TokenOptions& options,
                                                     int64_t vocabulary,
                                                     const std::string& file) {
  if (!file.empty()) return open_tokenizer(file);
  if (const auto* task = sequence_tasks().find(source))
    return task->make(options, TokenSplit::kTrain)->tokenizer();
  auto bytes = make_byte_tokenizer();
  if (!source.empty() && !is_array(source) && bytes->vocabulary() == vocabulary) return bytes;
  return make_word_tokenizer(number_names(vocabulary));
}

}  // namespace uvic::data
