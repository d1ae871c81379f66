#include "data/formats/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "data/formats/file_error.h"

namespace uvic::formats {
namespace {

constexpr size_t kMostFields = size_t{1} << 24;

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::vector<std::vector<std::string>> run() {
    constexpr std::string_view kMark = "\xef\xbb\xbf";  // what some editors put before UTF-8
    if (text_.substr(0, kMark.size()) == kMark) at_ = kMark.size();
    while (at_ < text_.size()) {
      if (skip_line_end()) continue;
      rows_.emplace_back();
      read_row(rows_.back());
    }
    return std::move(rows_);
  }

 private:
  void read_row(std::vector<std::string>& row) {
    while (true) {
      if (++fields_ > kMostFields) fail("more than 16777216 fields");
      row.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
      if (at_ == text_.size() || skip_line_end()) return;
      ++at_;  // the comma
    }
  }

  std::string plain() {
    const auto end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    const auto field = text_.substr(at_, end - at_);
    at_ = end;
    return std::string(field);
  }

  std::string quoted() {
    const size_t begin_line = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        field.push_back(text_[at_]);
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field.push_back(text_[at_++]);
      } else {
        ++at_;
        if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\r' && text_[at_] != '\n')
          fail(fmt::format("line {}: text after a quotation mark that ends a field", line_));
        return field;
      }
    }
    fail(fmt::format("line {}: a quotation mark that is not closed", begin_line));
  }

  bool skip_line_end() {
    if (at_ == text_.size() || (text_[at_] != '\r' && text_[at_] != '\n')) return false;
    at_ += text_.substr(at_, 2) == "\r\n" ? 2 : 1;
    ++line_;
    return true;
  }

  [[noreturn]] void fail(const std::string& what) const { throw file_error(name_, what); }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0, line_ = 1, fields_ = 0;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace

std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& name) {
  return Parser(text, name).run();
}

}  // namespace uvic::formats
