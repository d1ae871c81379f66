#include "data/text_repair.h"

#include "data/html_entities.h"
#include "data/unicode_text.h"
#include "tests/fuzz/fuzz_target.h"

// Captions from the web: repaired, composed, in lower case. What comes out is UTF-8.
UVIC_FUZZ_TARGET(text_repair) {
  using namespace uvic::data;
  if (find_bad_utf8(replace_bad_utf8(bytes))) throw std::logic_error("no UTF-8");
  if (find_bad_utf8(bytes)) throw std::runtime_error("no UTF-8");
  const auto text = decode_utf8(bytes);
  const auto fixed = repair_text(text);
  if (decode_utf8(encode_utf8(fixed)) != fixed) throw std::logic_error("no UTF-8");
  unescape_html(fixed);
  lower_text(fixed);
  for (const auto form : {NormalForm::kC, NormalForm::kD, NormalForm::kKC, NormalForm::kKD})
    normal_form(text, form);
}
