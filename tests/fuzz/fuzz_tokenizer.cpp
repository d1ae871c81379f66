#include "data/tokens/open_tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

UVIC_FUZZ_TARGET(tokenizer, ".model", ".json") {
  const auto tokenizer = uvic::data::read_tokenizer(bytes, "fuzz");
  for (const char* text : {"",
                           " We've 12  License\n\tGNU",
                           "</s>\xe2\x85\xa7 e\xcc\x81\xe4\xb8\xad\xf0\x9f\x98\x80\xe2\x96\x81"}) {
    const auto ids = tokenizer->encode(text, "text");
    for (const auto id : ids)
      if (id < 0 || id >= tokenizer->vocabulary())
        throw std::logic_error("a token outside the vocabulary");
    tokenizer->decode(ids);
  }
  for (const auto& around : {tokenizer->start(), tokenizer->end()})
    for (const auto id : around)
      if (id < 0 || id >= tokenizer->vocabulary())
        throw std::logic_error("a token around a text, outside the vocabulary");
}
