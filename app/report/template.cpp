#include "app/report/template.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string_view>
#include <vector>

#include "base/text_format.h"

namespace uvic::app {

using nlohmann::json;

namespace {

class Renderer {
 public:
  explicit Renderer(std::string_view text) : text_(text) {}

  /// Renders from position_ to the closing tag of `section`, or to the end. Writes only if
  /// `visible`.
  void render(const std::string& section,
              bool visible,
              std::vector<const json*>& scope,
              std::string& out) {
    while (true) {
      const size_t open = text_.find("{{", position_);
      if (visible) out += text_.substr(position_, open - position_);
      if (open == std::string_view::npos) {
        if (!section.empty())
          throw std::runtime_error(fmt::format("template: section {} is never closed", section));
        return;
      }
      const bool raw = text_.substr(open, 3) == "{{{";
      const std::string_view closing = raw ? "}}}" : "}}";
      const size_t begin = open + closing.size(), close = text_.find(closing, begin);
      if (close == std::string_view::npos)
        throw std::runtime_error(
            fmt::format("template: a tag opened at byte {} is never closed", open));
      std::string tag(text_.substr(begin, close - begin));
      position_ = close + closing.size();
      const char kind = tag.empty() ? ' ' : tag[0];
      if (kind == '#' || kind == '^' || kind == '/') tag.erase(0, 1);

      if (kind == '/') {
        if (tag != section)
          throw std::runtime_error(fmt::format(
              "template: {} is closed inside {}", tag, section.empty() ? "nothing" : section));
        return;
      }
      if (kind == '#' || kind == '^') {
        render_section(tag, kind == '^', visible, scope, out);
      } else if (visible) {
        const auto& value = look_up(tag, scope);
        const auto content = value.is_string() ? value.get<std::string>() : value.dump();
        out += raw ? content : base::escape_html(content);
      }
    }
  }

 private:
  void render_section(const std::string& name,
                      bool inverted,
                      bool visible,
                      std::vector<const json*>& scope,
                      std::string& out) {
    const size_t begin = position_;
    const json* value = visible ? &look_up(name, scope) : nullptr;
    const bool truthy = value && !value->is_null() && *value != false &&
                        !(value->is_string() && *value == "") &&
                        !(value->is_structured() && value->empty());
    if (!truthy || inverted) return render(name, visible && !truthy && inverted, scope, out);
    if (!value->is_array()) {
      scope.push_back(value);
      render(name, true, scope, out);
      return scope.pop_back();
    }
    for (const auto& element : *value) {
      position_ = begin;
      scope.push_back(&element);
      render(name, true, scope, out);
      scope.pop_back();
    }
  }

  static const json& look_up(const std::string& name, const std::vector<const json*>& scope) {
    if (name == ".") return *scope.back();
    for (auto level = scope.rbegin(); level != scope.rend(); ++level)
      if ((*level)->is_object() && (*level)->contains(name)) return (**level)[name];
    throw std::runtime_error(fmt::format("template: nothing is named {}", name));
  }

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

std::string render_template(const std::string& text, const json& data) {
  std::vector<const json*> scope{&data};
  std::string out;
  Renderer(text).render("", true, scope, out);
  return out;
}

}  // namespace uvic::app
